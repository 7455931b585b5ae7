"""A trained run at work: loaded, it translates arrays."""

SIZES = ('input', 'train', 'full')  # at which a net sees a picture, see predictor.py
