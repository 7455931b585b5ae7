"""What goes wrong with GANs, told while it happens: `readings` measures, `signs` judges."""
