const [title, ...rest] = data.question.split(/\n\s*\n/);
document.title = title;
main.append(el('h1', {}, title), ...rest.map(text => el('p', {}, text)));

const grid = ({heads, lines}, id) => el('div', {class: 'card'}, el('table', {id},
  el('tr', {}, ...heads.map(head => el('th', {}, head))), ...lines.map(line => el('tr', {}, ...line.map(cell =>
    el('td', cell.endsWith('*') ? {class: 'sure'} : {}, cell))))));
section('Table', 'Means over test images and seeds ± the standard deviation over seeds, of the checkpoint that is best on ' +
  'the validation split. Differences are from the first line, paired by seed and image; their 95% intervals take seeds and ' +
  'groups of images that belong together for independent. Each interval stands for itself: of twenty, one errs by chance. ' +
  'A star is corrected for that: of twenty tables in which nothing differs, one has a star.', grid(data, 'table'));
if (data.comparisons.lines.length) section('Comparisons', 'p: the probability of such a difference if there were none, ' +
  'corrected for the number of comparisons here (Holm).', grid(data.comparisons, 'comparisons'));

const names = {differences: 'Differences from the baseline with their intervals', quality_and_cost: 'Quality against cost',
  trade_off: 'Each other score against the first', curves: 'The validation split while training: mean and range over seeds'};
if (Object.keys(data.plots).length) {
  section('Plots', '', el('div', {class: 'card plots'}, ...Object.entries(data.plots).flatMap(([name, image]) =>
    [el('p', {class: 'note'}, names[name] || name), el('img', {src: image, alt: names[name] || name})])));
}
if (data.pictures.rows.length) {
  const table = el('table', {class: 'pictures'}, el('tr', {}, ...data.pictures.columns.map(head => el('th', {}, head))),
    ...data.pictures.rows.map(row => el('tr', {title: row.name}, ...row.images.map((image, i) =>
      el('td', {}, el('img', {src: image, alt: `${row.name}, ${data.pictures.columns[i]}`}))))));
  table.addEventListener('click', () => table.classList.toggle('large'));
  section('The same test pictures under every variant', 'Of the first seed. Click to enlarge.', el('div', {class: 'card'}, table));
}
const about = data.about;
section('Run it again', `${about.runs} runs in ${Math.round(about.seconds / 60)} minutes, from ${about.started} to ` +
  `${about.ended}, on ${about.machine}; ` + Object.entries(about.versions).map(pair => pair.join(' ')).join(', ') + '.',
  el('pre', {}, about.command));
