// Scripts of the page, one after the other in one element: what all of them use.
'use strict';

const page = {};

// page.make('p', {class: 'note'}, 'text', otherElement): text is text, never HTML.
page.make = function (tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children);
  return element;
};

page.button = function (label, title, action) {
  return page.make('button', {type: 'button', title: title, onclick: action}, label);
};

page.data = function (id) {
  const element = document.getElementById(id);
  return element === null ? null : JSON.parse(element.textContent);
};

page.download = function (name, type, content) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], {type: type}));
  const link = page.make('a', {href: url, download: name});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
};

page.file_name = function (name) {
  return name.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[-.]+|-+$/g, '') || 'batchscope';
};

// Quantities as the tables have them.
page.bytes = function (value) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let at = 0;
  while (Math.abs(value) >= 1000 && at + 1 < units.length) {
    value /= 1024;
    ++at;
  }
  return `${at === 0 ? page.plain(value) : page.digits(value, 1)} ${units[at]}`;
};

page.digits = function (value, most) {
  return value.toLocaleString('en', {maximumFractionDigits: most, useGrouping: false});
};

// At most four digits that say something.
page.plain = function (value) {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(2).replace('e+', 'e');
  return page.digits(value, size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 5);
};

page.seconds = function (value) {
  const size = Math.abs(value);
  if (size === 0 || size >= 1) return `${page.plain(value)} s`;
  return size >= 1e-3 ? `${page.plain(value * 1e3)} ms` : `${page.plain(value * 1e6)} µs`;
};

page.quantity = {
  none: page.plain,
  count: (value) => page.digits(value, 2),
  bytes: page.bytes,
  bytes_per_s: (value) => page.bytes(value) + '/s',
  seconds: page.seconds,
  share: (value) => page.digits(value * 100, 2) + ' %',
  per_s: (value) => page.plain(value) + '/s',
  watts: (value) => (Math.abs(value) >= 10000 ? page.digits(value / 1000, 2) + ' kW' : page.digits(value, 1) + ' W'),
  hertz: (value) => page.digits(value * 1e-9, 3) + ' GHz',
  celsius: (value) => page.digits(value, 1) + ' °C',
  cores: (value) => page.digits(value, 2) + (value === 1 ? ' core' : ' cores'),
};

// Lines of devices: eight that can be told apart, then the same again, broken.
page.device_colours = {
  light: ['#0072b2', '#d55e00', '#009e73', '#b0428c', '#c79100', '#3aa6dd', '#6b4fbb', '#7a3b12'],
  dark: ['#4aa5dc', '#f08a4b', '#2cc295', '#e29cc6', '#f0b840', '#8ecbf2', '#b39df0', '#d0a080'],
};
page.device_colour_count = page.device_colours.light.length;

page.theme = (function () {
  const root = document.documentElement;
  const dark_system = window.matchMedia('(prefers-color-scheme: dark)');
  const listeners = new Set();
  const name = () => root.dataset.theme || (dark_system.matches ? 'dark' : 'light');
  const value = (property) => getComputedStyle(root).getPropertyValue(property).trim();
  const changed = () => [...listeners].forEach((listener) => listener());

  function toggle() {
    root.dataset.theme = name() === 'dark' ? 'light' : 'dark';
    try {
      localStorage.setItem('batchscope-theme', root.dataset.theme);
    } catch (error) {
      // a page from a file may not be allowed to remember
    }
    changed();
  }
  dark_system.addEventListener('change', changed);
  return {
    toggle: toggle,
    name: name,
    on_change: (listener) => listeners.add(listener),
    forget: (listener) => listeners.delete(listener),
    value: value,
    colour: (style) => value(`--style-${style % 7}`),
    device_colour: (index) => page.device_colours[name()][index % page.device_colour_count],
  };
})();
