const sides = {a: 'input', b: 'target'};
const where = data.data.path || data.data.task;
const range = ([low, middle, high]) => low === high ? String(low) : `${low} to ${high} (${middle})`;
const card = (images, ...lines) => el('div', {class: 'card'},
  el('div', {class: 'images'}, ...images.map(src => el('img', {src, alt: lines[0]}))),
  ...lines.map(line => el('div', {class: 'name'}, line)));
const cards = list => el('div', {class: 'pairs'}, ...list);

document.title = `${where} – i2i_jax`;
main.append(el('h1', {}, `${data.data.name} · ${where}`));
const found = el('ul', {class: 'found'}, ...data.findings.map(text => el('li', {}, text)));
if (!data.findings.length) found.append(el('li', {class: 'good'}, 'Nothing to look at was found.'));
main.append(found);

// ---- pairs
if (data.pairs.pairs) {
  const of = data.pairs, p = x => x < 0.001 ? x.toExponential(0) : x.toPrecision(2);
  section('Are the pairs pairs?', `Of ${of.judged} pairs (${of.pairs - of.judged} more show too little): if all ` +
    `were shuffled, pairs would match so well with p = ${p(of.p_shuffled)}; if all were right, so many would look ` +
    `like strangers with p = ${p(of.p_all_right)}. Estimated share of wrong pairs: ${(100 * of.share_wrong).toFixed(0)}%. ` +
    'Below, the pairs that match worst, and the share of strangers that match as well: among right pairs these are ' +
    'hard ones, flat or unusual.',
    cards(data.suspect.map(pair => card(pair.images, pair.name, `${(100 * pair.chance).toFixed(0)}% of strangers`))));
}
// ---- leaks
if (data.shared.length) section('In the training split too', 'Left: the image of the other split; right: that of the training split.',
  cards(data.shared.map(({split, turn, here, there}) =>
    card([...here.images, ...there.images], `${split}: ${here.name}`, `train: ${there.name}${turn ? ', ' + turn : ''}`))));

// ---- numbers
const rows = Object.entries(data.splits).flatMap(([split, of]) => Object.keys(sides).filter(side => of[side]).map(side => {
  const x = of[side];
  return [`${split}, ${sides[side]}`, x.images, range(x.width), range(x.height), x.mean.join(', '), x.deviation.join(', '),
    x.one_colour, x.gray, of.unreadable.length];
}));
const heads = ['', 'images', 'width, px', 'height, px', 'mean', 'deviation', 'of one colour', 'gray in three channels', 'unreadable'];
section('Splits', 'Means and deviations of each channel, 0 to 255; sizes from the least to the largest (the median).',
  el('div', {class: 'card'}, el('table', {}, el('tr', {}, ...heads.map(head => el('th', {}, head))),
    ...rows.map(row => el('tr', {}, ...row.map(cell => el('td', {}, String(cell))))))));

// ---- samples
for (const [split, list] of Object.entries(data.samples)) {
  const [name, side] = split.split(', ');
  section(`Samples: ${name}${side ? ', ' + sides[side] : ''}`, '', cards(list.map(pair => card(pair.images, pair.name))));
}
