// Figures: drawn by Chart.js from the same data as the SVG for print; legend, intervals, limits, downloads.

page.figures = (function () {
  const markers = [
    ['circle', 0], ['rect', 0], ['triangle', 0], ['rectRot', 0], ['triangle', 180],
    ['star', 0], ['triangle', 90], ['rectRounded', 0], ['triangle', 270],
  ];
  const dashes = {solid: [], dashed: [7, 4], dotted: [2, 3], none: []};

  // Bytes are drawn in the unit that suits the largest, so that ticks are round in it.
  function scale_of(axis, values) {
    let factor = 1;
    if (axis.unit === 'bytes' || axis.unit === 'bytes_per_s') {
      const most = Math.max(...values.map(Math.abs), 0);
      while (most / factor >= 1000) factor *= 1024;
    }
    const format = page.quantity[axis.unit] || page.plain;
    return {factor: factor, format: (value) => format(value * factor)};
  }

  function values_of(figure) {
    const values = figure.limits.map((limit) => limit.y);
    for (const series of figure.series)
      for (const point of series.points)
        for (const value of [point.y, point.low, point.high]) if (Number.isFinite(value)) values.push(value);
    return values;
  }

  function power_ticks(low, high) {
    const ticks = [];
    const first = Math.ceil(Math.log2(low) - 1e-9), last = Math.floor(Math.log2(high) + 1e-9);
    const step = Math.max(1, Math.ceil((last - first) / 12));
    for (let power = first; power <= last; power += step) ticks.push({value: 2 ** power});
    return ticks;
  }

  const is_narrow = () => window.innerWidth < 640;

  // A category's name in one line, or in two where the window is narrow.
  function name_lines(name) {
    const most = is_narrow() ? 22 : 44;
    const shortened = (text) => (text.length > most ? text.slice(0, most - 1) + '…' : text);
    const at = name.slice(0, most).lastIndexOf(' ');
    return is_narrow() && name.length > most && at > 0 ? [name.slice(0, at), shortened(name.slice(at + 1))] : shortened(name);
  }

  function axis_options(axis, scale, values) {
    const ink = page.theme.value('--muted');
    const options = {
      type: axis.logarithmic ? 'logarithmic' : 'linear',
      title: {display: axis.label !== '', text: axis.label, color: ink},
      grid: {color: page.theme.value('--grid'), borderColor: page.theme.value('--line')},
      ticks: {color: ink, maxRotation: 0, autoSkipPadding: 12, callback: (value) => scale.format(value)},
    };
    const finite = values.filter(Number.isFinite).map((value) => value / scale.factor);
    const low = Math.min(...finite), high = Math.max(...finite);
    if (axis.categories.length > 0) {
      Object.assign(options, {min: -0.5, max: axis.categories.length - 0.5});
      options.afterBuildTicks = (built) => {
        built.ticks = axis.categories.map((name, value) => ({value: value}));
      };
      options.ticks.callback = (value) => name_lines(axis.categories[value] ?? '');
      options.ticks.autoSkipPadding = 0;
      options.grid.display = false;
    } else if (axis.logarithmic && finite.every((value) => value > 0)) {
      Object.assign(options, {min: low / 1.15, max: high * 1.15});
      options.afterBuildTicks = (built) => {
        const ticks = power_ticks(low, high);
        if (ticks.length > 1 || low === high) built.ticks = ticks.length > 0 ? ticks : [{value: low}];
      };
    } else {
      const room = (high - low || Math.abs(high) || 1) * 0.08;
      options.type = 'linear';
      options.suggestedMin = axis.from_zero ? Math.min(low, 0) : low < 0 ? low - room : Math.max(low - room, 0);
      options.suggestedMax = axis.from_zero && high <= 0 ? 0 : high + room / 2;
    }
    return options;
  }

  function note_lines(raw, figure) {
    const interval = Number.isFinite(raw.source.low) && Number.isFinite(raw.source.high);
    const format = page.quantity[figure.y.unit] || page.plain;
    const lines = [`${raw.name}: ${format(raw.source.y)}`];
    if (interval) lines.push(`95 %: ${format(raw.source.low)} to ${format(raw.source.high)}`);
    if (raw.source.note) lines.push(...raw.source.note.match(/.{1,60}(\s|$)|.{60}/g).map((line) => line.trim()));
    return lines;
  }

  function place_text(raw, figure) {
    const category = figure.x.categories[raw.source.x];
    if (category !== undefined) return category;
    return `${figure.x.label}: ${(page.quantity[figure.x.unit] || page.plain)(raw.source.x)}`;
  }

  function base_options(figure, mode) {
    return {
      responsive: true,
      maintainAspectRatio: false,
      animation: false,
      parsing: false,
      normalized: true,
      layout: {padding: {top: 8, right: 12}},
      interaction: mode,
      plugins: {
        legend: {display: false},
        tooltip: {
          callbacks: {
            title: (items) => (items.length > 0 ? place_text(items[0].raw, figure) : ''),
            label: (item) => note_lines(item.raw, figure),
          },
        },
      },
    };
  }

  // Whiskers of every visible point, and lines across for limits.
  const marks = {
    id: 'marks',
    afterDatasetsDraw(chart) {
      const {figure, value_axis, scale} = chart.options.marks;
      const axis = chart.scales[value_axis];
      const context = chart.ctx;
      const along = value_axis === 'y';
      context.save();
      context.lineWidth = 1.3;
      chart.data.datasets.forEach((set, index) => {
        const meta = chart.getDatasetMeta(index);
        if (!chart.isDatasetVisible(index) || figure.kind === 'stacked_bars') return;
        context.strokeStyle = set.borderColor;
        set.data.forEach((raw, at) => {
          const {low, high} = raw.source;
          if (!Number.isFinite(low) || !Number.isFinite(high) || !meta.data[at]) return;
          const from = axis.getPixelForValue(low / scale.factor), to = axis.getPixelForValue(high / scale.factor);
          const centre = along ? meta.data[at].x : meta.data[at].y;
          context.beginPath();
          for (const end of [from, to]) {
            context.moveTo(...(along ? [centre - 4, end] : [end, centre - 4]));
            context.lineTo(...(along ? [centre + 4, end] : [end, centre + 4]));
          }
          context.moveTo(...(along ? [centre, from] : [from, centre]));
          context.lineTo(...(along ? [centre, to] : [to, centre]));
          context.stroke();
        });
      });
      draw_limits(chart, figure, axis, along, scale);
      context.restore();
    },
  };

  function draw_limits(chart, figure, axis, along, scale) {
    const context = chart.ctx, area = chart.chartArea;
    const ink = context.fillStyle = page.theme.value('--text');
    context.textAlign = 'left';
    context.font = `11px ${page.theme.value('--font')}`;
    let last = Infinity;
    for (const limit of figure.limits) {
      const at = axis.getPixelForValue(limit.y / scale.factor);
      context.beginPath();
      context.moveTo(...(along ? [area.left, at] : [at, area.top]));
      context.lineTo(...(along ? [area.right, at] : [at, area.bottom]));
      context.strokeStyle = ink;
      context.setLineDash([10, 3, 2, 3]);
      context.lineWidth = 1.2;
      context.stroke();
      if (Math.abs(at - last) > 12)
        put_label(context, limit.label, ...(along ? [area.left + 6, at - 5 < area.top + 8 ? at + 13 : at - 5] : [at + 5, area.top + 10]));
      last = at;
    }
  }

  // Readable over lines.
  function put_label(context, text, x, y) {
    context.setLineDash([]);
    context.lineWidth = 3;
    context.lineJoin = 'round';
    context.strokeStyle = page.theme.value('--surface');
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  }

  function point_style(series) {
    const [style, rotation] = markers[series.style % markers.length];
    const colour = page.theme.colour(series.style);
    const ground = page.theme.value('--surface');
    return {
      pointStyle: style,
      rotation: rotation,
      radius: 4.5,
      hoverRadius: 6,
      hitRadius: 8,
      borderWidth: 1.8,
      pointBorderWidth: 1.5,
      pointBorderColor: colour,
      pointBackgroundColor: (context) => (series.hollow || (context.raw && context.raw.source.hollow) ? ground : colour),
      borderColor: colour,
      backgroundColor: colour,
    };
  }

  // Series of an interval figure stand below each other in each category.
  function dodge_of(figure, index) {
    const count = figure.series.length;
    return figure.kind === 'intervals' && count > 1 ? (index - (count - 1) / 2) * Math.min(0.28, 0.8 / count) : 0;
  }

  function line_config(figure) {
    const sideways = figure.kind === 'intervals';
    const values = values_of(figure);
    const scale = scale_of(figure.y, values);
    const xs = figure.series.flatMap((series) => series.points.map((point) => point.x));
    const x_scale = scale_of(figure.x, xs);
    const datasets = figure.series.map((series, index) => ({
      ...point_style(series),
      label: series.name,
      showLine: !sideways && series.stroke !== 'none',
      borderDash: dashes[series.stroke],
      data: series.points.filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y)).map((point) => {
        const place = {x: point.x / x_scale.factor + dodge_of(figure, index), y: point.y / scale.factor};
        return {x: sideways ? place.y : place.x, y: sideways ? place.x : place.y, source: point, name: series.name};
      }),
    }));
    const of_x = axis_options(figure.x, x_scale, xs), of_y = axis_options(figure.y, scale, values);
    if (sideways) of_x.reverse = true;
    return {
      type: 'scatter',
      data: {datasets: datasets},
      options: {
        ...base_options(figure, {mode: 'nearest', intersect: false, axis: 'xy'}),
        scales: sideways ? {x: of_y, y: of_x} : {x: of_x, y: of_y},
        marks: {figure: figure, value_axis: sideways ? 'x' : 'y', scale: scale},
      },
      plugins: [marks],
    };
  }

  // Bars from left to right, where their names would not stand beside each other.
  function stands_sideways(figure) {
    return figure.x.categories.length > 8 || figure.x.categories.some((name) => name.length > 8);
  }

  function bar_config(figure) {
    const values = values_of(figure);
    const scale = scale_of(figure.y, values);
    const sideways = stands_sideways(figure);
    const datasets = figure.series.map((series) => ({
      label: series.name,
      backgroundColor: page.theme.bar_colour(series.style),
      borderColor: page.theme.value('--surface'),
      borderWidth: 0.5,
      data: series.points.filter((point) => Number.isFinite(point.y)).map((point) => {
        const value = point.y / scale.factor;
        return {x: sideways ? value : point.x, y: sideways ? point.x : value, source: point, name: series.name};
      }),
    }));
    const totals = figure.x.categories.map((name, at) => figure.series.reduce(
        (sum, series) => sum + series.points.filter((point) => point.x === at).reduce((own, point) => own + point.y, 0), 0));
    const of_x = {...axis_options(figure.x, {factor: 1, format: String}, []), offset: false, stacked: true};
    const of_y = {...axis_options(figure.y, scale, totals), stacked: true};
    if (figure.y.unit === 'share' && Math.max(...totals) < 1.001) of_y.max = 1;
    if (sideways) of_x.reverse = true;
    return {
      type: 'bar',
      data: {datasets: datasets},
      options: {
        ...base_options(figure, {mode: 'nearest', intersect: true, axis: 'xy'}),
        indexAxis: sideways ? 'y' : 'x',
        categoryPercentage: 0.9,
        barPercentage: 0.95,
        scales: sideways ? {x: of_y, y: of_x} : {x: of_x, y: of_y},
        marks: {figure: figure, value_axis: sideways ? 'x' : 'y', scale: scale},
      },
      plugins: [marks],
    };
  }

  // Room for a row each where categories stand below each other; the box scrolls.
  function height_of(figure) {
    if (figure.kind === 'lines') return 0;
    const rows = figure.x.categories.length;
    if (figure.kind === 'stacked_bars' && !stands_sideways(figure)) return 0;
    return Math.max(110, 60 + Math.min(rows * (is_narrow() ? 32 : 20), 12000 / (window.devicePixelRatio || 1)));
  }

  function legend_mark(series, figure) {
    const canvas = page.make('canvas', {width: 44, height: 24, 'aria-hidden': 'true'});
    const context = canvas.getContext('2d');
    context.scale(2, 2);
    const bars = figure.kind === 'stacked_bars';
    const colour = bars ? page.theme.bar_colour(series.style) : page.theme.colour(series.style);
    context.strokeStyle = context.fillStyle = colour;
    if (bars) {
      context.fillRect(4, 1, 14, 10);
      return canvas;
    }
    context.lineWidth = 1.8;
    if (series.stroke !== 'none' && figure.kind === 'lines') {
      context.setLineDash(dashes[series.stroke].map((length) => length * 0.7));
      context.beginPath();
      context.moveTo(0, 6);
      context.lineTo(22, 6);
      context.stroke();
      context.setLineDash([]);
    }
    const [style, rotation] = markers[series.style % markers.length];
    if (series.hollow) context.fillStyle = page.theme.value('--surface');
    Chart.helpers.drawPoint(context, {pointStyle: style, rotation: rotation, radius: 4, borderWidth: 1.5}, 11, 6);
    return canvas;
  }

  // A button a name; equal names share it.
  function legend_of(state) {
    const names = new Map();
    state.figure.series.forEach((series, index) => {
      if (!names.has(series.name)) names.set(series.name, []);
      names.get(series.name).push(index);
    });
    const legend = page.make('div', {class: 'legend', role: 'group', 'aria-label': 'Series shown'});
    for (const [name, indices] of names) {
      const is_hidden = state.hidden.has(name);
      const button = page.make('button', {type: 'button', 'aria-pressed': String(!is_hidden), onclick: () => {
        if (state.hidden.has(name)) state.hidden.delete(name);
        else state.hidden.add(name);
        button.setAttribute('aria-pressed', String(!state.hidden.has(name)));
        for (const index of indices) state.chart.setDatasetVisibility(index, !state.hidden.has(name));
        state.chart.update();
      }}, legend_mark(state.figure.series[indices.find((index) => !state.figure.series[index].hollow) ?? indices[0]], state.figure), name);
      legend.append(button);
    }
    return legend;
  }

  // The chart with title and legend, on the theme's ground.
  function save_png(state) {
    const chart = state.chart.canvas;
    const ratio = chart.width / chart.clientWidth;
    const entries = [...state.box.querySelectorAll('.legend button[aria-pressed="true"]')];
    const font = page.theme.value('--font');
    const canvas = page.make('canvas', {});
    const context = canvas.getContext('2d');
    context.font = `13px ${font}`;
    const rows = [[]];
    let used = 0;
    for (const entry of entries) {
      const width = 34 + context.measureText(entry.textContent).width;
      if (used > 0 && used + width > chart.clientWidth) {
        rows.push([]);
        used = 0;
      }
      rows[rows.length - 1].push([entry, used]);
      used += width;
    }
    const top = 34, height = top + chart.clientHeight + 20 * rows.length + 10;
    canvas.width = chart.width + 24 * ratio;
    canvas.height = height * ratio;
    context.scale(ratio, ratio);
    context.fillStyle = page.theme.value('--surface');
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = page.theme.value('--text');
    context.font = `600 15px ${font}`;
    context.fillText(state.figure.title, 12, 22, chart.clientWidth);
    context.drawImage(chart, 12, top, chart.clientWidth, chart.clientHeight);
    context.font = `13px ${font}`;
    rows.forEach((row, at) => row.forEach(([entry, x]) => {
      const y = top + chart.clientHeight + 16 + 20 * at;
      context.drawImage(entry.querySelector('canvas'), 12 + x, y - 10, 22, 12);
      context.fillText(entry.textContent, 38 + x, y);
    }));
    canvas.toBlob((blob) => page.download(state.figure.id + '.png', 'image/png', blob), 'image/png');
  }

  function save_svg(state) {
    const svg = state.box.querySelector('.drawing svg').cloneNode(true);
    svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
    page.download(state.figure.id + '.svg', 'image/svg+xml',
                  '<?xml version="1.0" encoding="UTF-8"?>\n' + new XMLSerializer().serializeToString(svg) + '\n');
  }

  function tools_of(state) {
    const of = `Download ${state.figure.title} as `;
    return page.make('div', {class: 'tools', role: 'group', 'aria-label': 'Downloads'},
                     page.button('SVG', of + 'SVG', () => save_svg(state)),
                     page.button('PNG', of + 'PNG', () => save_png(state)),
                     page.button('CSV', of + 'CSV', () => page.download(state.figure.id + '.csv', 'text/csv', state.csv)));
  }

  function draw(state) {
    if (state.chart) state.chart.destroy();
    const config = state.figure.kind === 'stacked_bars' ? bar_config(state.figure) : line_config(state.figure);
    Chart.defaults.font.family = page.theme.value('--font');
    state.chart = new Chart(state.canvas, config);
    state.figure.series.forEach((series, index) => {
      if (state.hidden.has(series.name)) state.chart.setDatasetVisibility(index, false);
    });
    if (state.hidden.size > 0) state.chart.update();
    state.box.querySelector('.legend').replaceWith(legend_of(state));
  }

  function start(box) {
    const {figure, csv} = page.data('data-figure-' + box.dataset.figure);
    const state = {box: box, figure: figure, csv: csv, hidden: new Set(), chart: null};
    state.canvas = page.make('canvas', {role: 'img', 'aria-label': `${figure.title}. ${figure.caption}`});
    const height = height_of(figure);
    const plot = page.make('div', {class: 'plot'}, state.canvas);
    if (height > 0) plot.style.height = `${height}px`;
    box.querySelector('.drawing').before(page.make('div', {class: 'plot-box'}, plot));
    box.querySelector('.drawing').after(page.make('div', {class: 'legend'}));
    box.querySelector('figcaption').append(tools_of(state));
    box.classList.add('live');
    draw(state);
    page.theme.on_change(() => draw(state));
    box.figure_state = state;
  }

  // Only what is near the window is drawn.
  function enhance(boxes) {
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries)
        if (entry.isIntersecting) {
          observer.unobserve(entry.target);
          start(entry.target);
        }
    }, {rootMargin: '600px'});
    boxes.forEach((box) => observer.observe(box));
  }

  return {enhance: enhance};
})();
