const number = new Intl.NumberFormat('en');

function svg(tag, attributes = {}, text) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}
function short(x) {
  if (x === 0) return '0';
  const size = Math.abs(x);
  return size >= 1e4 || size < 1e-3 ? x.toExponential(1) : String(Number(x.toPrecision(3)));
}
function duration(seconds) {
  const s = Math.round(seconds), h = Math.floor(s / 3600), m = Math.floor(s % 3600 / 60);
  return h ? `${h} h ${m} min` : m ? `${m} min ${s % 60} s` : `${s} s`;
}

// ---- head
const best = data.scores.test || Object.values(data.scores)[0];
const ours = data.config.method, notes = data.notes;
const first = best && Object.keys(data.metrics).find(name => name in best.scores[ours]);  // the score that ranks
document.title = `${data.title} – i2i_jax`;
main.append(el('h1', {}, `${data.title}${data.task ? ' · ' + data.task : ''}`));
main.append(el('p', {class: 'note'},
  `${number.format(data.steps_done)} steps of ${data.config.batch_size} image${data.config.batch_size > 1 ? 's' : ''}` +
  (notes.data ? `, ${number.format(notes.data.train)} training pairs` : '') +
  ` at ${data.config.data.crop_size[1]}×${data.config.data.crop_size[0]} px` +
  (notes.seconds ? `, trained in ${duration(notes.seconds)}` : '') + (notes.devices ? ` on ${notes.devices}` : '') + '.'));
const facts = el('ul', {class: 'facts'});
main.append(facts);
function fact(value, text, hero) {
  facts.append(el('li', hero ? {class: 'hero'} : {}, el('b', {}, value), ' ' + text));
}
if (best) {
  const metric = data.metrics[first], sign = metric.lower_is_better ? -1 : 1;
  const score = best.scores[ours][first], text = x => `${x.toFixed(metric.digits)} ${metric.unit}`.trim();
  const rivals = Object.entries(best.scores).filter(([who]) => who !== ours).map(([, s]) => s[first]);
  fact(text(score), `${metric.label} on ${best.images} ${best.split} images`, true);
  if (rivals.length) {
    const lead = score - sign * Math.max(...rivals.map(x => sign * x));
    fact((lead >= 0 ? '+' : '') + text(lead), 'against the best baseline');
  }
}
for (const [net, count] of Object.entries(notes.parameters || {})) fact(number.format(count), `parameters in ${net}`);

// ---- pictures with a slider
function compare(picture, unlike) {
  const kinds = ['input', 'output', 'target'].filter(kind => picture[kind]);
  const stack = el('div', {class: 'stack'});
  const layers = kinds.map(kind => el('img', {src: picture[kind], alt: `${kind} of ${picture.name}`, draggable: 'false'}));
  const edge = el('div', {class: 'edge'}), left = el('span', {class: 'tag left'}), right = el('span', {class: 'tag right'});
  stack.append(...layers, edge, left, right);
  const top = (kinds.length - 1) * 100;
  const range = el('input', {type: 'range', min: 0, max: top, value: 0, 'aria-label': `input, output, target of ${picture.name}`});
  function show() {
    // Each layer covers the one before it from the left, as far as the slider has come in its own hundred.
    const at = Number(range.value), over = Math.max(0, Math.min(kinds.length - 2, Math.ceil(at / 100) - 1));
    layers.forEach((layer, i) => {
      if (i) layer.style.clipPath = `inset(0 ${100 - Math.max(0, Math.min(100, at - (i - 1) * 100))}% 0 0)`;
    });
    const share = at - over * 100;
    edge.style.left = share + '%';
    edge.style.display = share > 0 && share < 100 ? '' : 'none';
    left.textContent = share > 0 ? kinds[over + 1] : '';
    right.textContent = share < 100 ? kinds[over] : '';
    left.style.display = share > 0 ? '' : 'none';
    right.style.display = share < 100 ? '' : 'none';
  }
  range.addEventListener('input', show);
  function drag(event) {
    if (event.type === 'pointermove' && !(event.buttons & 1)) return;
    const box = stack.getBoundingClientRect();
    range.value = Math.round((event.clientX - box.left) / box.width * top);
    show();
  }
  stack.addEventListener('pointerdown', drag);
  stack.addEventListener('pointermove', drag);
  range.value = 50;
  show();
  const ticks = el('div', {class: 'ticks'}, ...kinds.map((kind, i) =>
    el('button', {type: 'button', onclick: () => { range.value = i * 100; show(); }},
      el('img', {src: picture[kind], alt: ''}), kind)));
  const warning = unlike > 1 ? [el('div', {class: 'name unlike'}, 'its input is unlike those of training')] : [];
  return el('div', {class: 'card'}, stack, range, ticks, el('div', {class: 'name'}, picture.name), ...warning);
}
const named = which => which.replace('_ba', ' split, B to A') + (which.endsWith('_ba') ? '' : ' split');
for (const [which, list] of Object.entries(data.pictures)) {
  section(`Pictures from the ${named(which)}`, 'Drag across a picture, or move its slider: from the input over the ' +
    'network’s output to the target. Below, all three.', el('div', {class: 'pictures'}, ...list.map(picture => compare(picture, (data.scores[which].unlike || {})[picture.name]))));
}

// ---- scores
function unlikeText(unlike) {
  const all = Object.entries(unlike || {}), strange = all.filter(([, score]) => score > 1).map(([name]) => name);
  return strange.length ? ` ${strange.length} of ${all.length} inputs are unlike those of training, so that what comes ` +
    `out of them means little: ${strange.slice(0, 6).join(', ')}${strange.length > 6 ? ', …' : ''}.` : '';
}
for (const [which, result] of Object.entries(data.scores)) {
  const shown = Object.entries(data.metrics).filter(([name]) => Object.values(result.scores).some(s => name in s));
  const [key, {lower_is_better: lower, ideal}] = shown[0];
  const bad = s => ideal != null ? Math.abs(s[key] - ideal) : lower ? s[key] : -s[key];
  const rows = Object.entries(result.scores).sort((a, b) => bad(a[1]) - bad(b[1]));
  const names = {copy: 'copy the input', constant: 'best constant colour', linear: 'linear regression on 5×5 px'};
  const table = el('table', {}, el('tr', {}, ...['', ...shown.map(([, m]) => m.head)].map(h => el('th', {}, h))));
  for (const [who, s] of rows) {
    const cells = shown.map(([name, m]) => el('td', {}, name in s ? s[name].toFixed(m.digits) : ''));
    table.append(el('tr', who === ours ? {class: 'ours'} : {}, el('td', {}, names[who] || who), ...cells));
  }
  const way = result.direction === 'ba' ? ', B to A' : '';
  const by = result.protocol === 'pixel' ? '' : ` by the protocol “${result.protocol}”`;
  section(`Scores on the ${result.split} split${way}${by}`, `${result.images} images, checkpoint of step ` +
    `${number.format(result.step)} (${result.chosen || 'newest'}, ${result.weights} weights). The baselines are fitted ` +
    'on the training split and measured on the same images.' + unlikeText(result.unlike), el('div', {class: 'card'}, table));
}

// ---- curves
function chart(name, [steps, values]) {
  const W = 360, H = 170, L = 42, R = 8, T = 8, B = 22;
  const smooth = [];
  const keep = values.length > 40 ? 0.9 : 0;
  values.forEach((v, i) => smooth.push(i ? keep * smooth[i - 1] + (1 - keep) * v : v));
  const sorted = [...values].sort((a, b) => a - b);
  const cut = values.length > 40 ? Math.floor(values.length * 0.01) : 0;  // single spikes do not set the scale
  let low = sorted[cut], high = sorted[sorted.length - 1 - cut];
  if (high === low) { high += Math.abs(high) * .05 + 1e-6; low -= Math.abs(low) * .05 + 1e-6; }
  const first = steps[0], last = Math.max(steps[steps.length - 1], first + 1);
  const x = s => L + (s - first) / (last - first) * (W - L - R);
  const y = v => T + (1 - (Math.max(low, Math.min(high, v)) - low) / (high - low)) * (H - T - B);
  const picture = svg('svg', {viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': `curve of ${name}`});
  for (let i = 0; i <= 4; i++) {
    const v = low + (high - low) * i / 4;
    picture.append(svg('line', {class: 'rule', x1: L, x2: W - R, y1: y(v), y2: y(v)}),
      svg('text', {x: L - 6, y: y(v) + 3.5, 'text-anchor': 'end'}, short(v)));
  }
  for (const [at, anchor] of [[first, 'start'], [(first + last) / 2, 'middle'], [last, 'end']]) {
    picture.append(svg('text', {x: x(at), y: H - 6, 'text-anchor': anchor}, number.format(Math.round(at))));
  }
  const path = list => list.map((v, i) => `${i ? 'L' : 'M'}${x(steps[i]).toFixed(1)},${y(v).toFixed(1)}`).join('');
  if (keep) picture.append(svg('path', {class: 'raw', d: path(values)}));
  picture.append(svg('path', {class: 'smooth', d: path(smooth)}));
  const cross = svg('line', {class: 'cross', y1: T, y2: H - B}), dot = svg('circle', {r: 4.5});
  cross.style.display = dot.style.display = 'none';
  picture.append(cross, dot);
  const readout = el('span', {}, short(values[values.length - 1]));
  picture.addEventListener('pointermove', event => {
    const box = picture.getBoundingClientRect();
    const at = first + ((event.clientX - box.left) / box.width * W - L) / (W - L - R) * (last - first);
    let i = 0;
    while (i + 1 < steps.length && Math.abs(steps[i + 1] - at) <= Math.abs(steps[i] - at)) i++;
    cross.setAttribute('x1', x(steps[i])); cross.setAttribute('x2', x(steps[i]));
    dot.setAttribute('cx', x(steps[i])); dot.setAttribute('cy', y(values[i]));
    cross.style.display = dot.style.display = '';
    readout.textContent = `step ${number.format(steps[i])}: ${Number(values[i].toPrecision(4))}`;
  });
  picture.addEventListener('pointerleave', () => {
    cross.style.display = dot.style.display = 'none';
    readout.textContent = short(values[values.length - 1]);
  });
  return el('div', {class: 'card chart'}, el('h3', {}, name, readout), picture);
}
const order = [...Object.keys(data.metrics).map(name => `val/${name}`), 'loss/l1', 'loss/gen', 'loss/gan', 'loss/disc'];
const rank = name => (order.indexOf(name) + 1 || 99);
const curves = Object.entries(data.curves).sort((a, b) => rank(a[0]) - rank(b[0]) || a[0].localeCompare(b[0]));
if (curves.length) {
  section('Curves', 'One logged step a point, and its running mean. Hover to read a value. val/ is measured on the ' +
    'validation split.', el('div', {class: 'charts'}, ...curves.map(([name, xy]) => chart(name, xy))));
}

// ---- health
if (data.health.looks) {
  const {looks, alarms, readings, curves} = data.health;
  const found = el('ul', {class: 'found'}, ...alarms.map(alarm => el('li', alarm.over ? {class: 'over'} : {},
    alarm.line, alarm.over ? el('span', {}, ` Over since step ${number.format(alarm.until)}.`) : '')));
  if (!alarms.length) found.append(el('li', {class: 'good'}, 'No sign of illness lasted.'));
  const table = el('table', {}, el('tr', {}, ...['sign', 'reading', 'now', 'a sign where'].map(h => el('th', {}, h))),
    ...readings.map(r => el('tr', r.ill ? {class: 'ours'} : {}, el('td', {}, r.sign), el('td', {}, r.reading),
      el('td', {}, short(r.value)), el('td', {}, r.limit))));
  section('Health', `What commonly goes wrong with GANs, looked at ${number.format(looks)} time${looks > 1 ? 's' : ''} ` +
    'while it learnt; two looks in a row make a sign. docs/health.md says what each reading is.', found,
    el('details', {}, el('summary', {}, 'All readings'), el('div', {class: 'card'}, table),
      el('div', {class: 'charts'}, ...Object.entries(curves).map(([name, xy]) => chart(name, xy)))));
}

// ---- pictures over time
function through_time(grids, columns, title, note) {
  if (!grids.steps.length) return;
  const images = grids.columns[0].map((_, i) => el('img', {alt: `validation images: ${columns[i] || columns.join(', ')}`}));
  const strip = el('div', {class: 'strip'}, ...images);
  const heads = el('div', {class: 'heads'}, ...columns.map(h => el('span', {}, h)));
  heads.style.gridTemplateColumns = `repeat(${columns.length}, 1fr)`;
  strip.style.gridTemplateColumns = `repeat(${images.length}, 1fr)`;
  const label = el('b');
  const range = el('input', {type: 'range', min: 0, max: grids.steps.length - 1, value: grids.steps.length - 1, 'aria-label': 'step'});
  const show = () => {
    images.forEach((image, i) => { image.src = data.images[grids.columns[range.value][i]]; });
    label.textContent = `step ${number.format(grids.steps[range.value])}`;
  };
  images[0].addEventListener('load', () => {
    const whole = images[0].naturalWidth * images.length;
    strip.style.width = heads.style.width = Math.min(whole * (whole < 400 ? 2.5 : 1), 760) + 'px';
  });
  range.addEventListener('input', show);
  show();
  section(title, `${note}: ${columns.join(', ')}.`,
    el('div', {class: 'card time'}, label, range, el('br'), heads, strip));
}
through_time(data.grids, notes.columns || ['input', 'output', 'target'], 'While it learnt',
  'The same validation images through time');
through_time(data.attention, notes.attention || [], 'Where it looks',
  'The generator\u2019s attention over its outputs, by stage, most where it is yellow');

// ---- how to run it again
section('Run it again', '', el('pre', {}, data.commands.join('\n')));
const list = el('dl');
for (const [key, value] of [['started', notes.started], ['devices', notes.devices], ['data', notes.data && notes.data.fingerprint],
  ...Object.entries(notes.versions || {})]) {
  if (value) list.append(el('dt', {}, key), el('dd', {}, value));
}
section('Config and machine', '', el('div', {class: 'two'},
  el('pre', {}, JSON.stringify(data.config, null, 2)), el('div', {class: 'card'}, list)));
