'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const main = document.querySelector('main');
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}
function section(title, note, ...children) {
  main.append(el('h2', {}, title));
  if (note) main.append(el('p', {class: 'note'}, note));
  main.append(...children);
}
