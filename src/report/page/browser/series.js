// Time series of an interval, drawn by dygraphs: a chart a quantity, all with one window of time.

page.series = (function () {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const digit_of = new Map([...digits].map((digit, value) => [digit, value]));
  const kinds = {gpu: 'Devices', link: 'Links', host: 'Host', process: 'Processes', disk: 'Disks', network: 'Network'};
  const dashes = [null, [6, 3], [2, 2], [9, 3, 2, 3]];

  // Two digits a bucket: a value in 4094 steps, 4094 no reading (a line goes across), 4095 a gap (none does).
  function decode(text, series, buckets) {
    const values = new Array(buckets);
    for (let at = 0; at < buckets; ++at) {
      const code = digit_of.get(text[2 * at]) * 64 + digit_of.get(text[2 * at + 1]);
      values[at] = code === 4095 ? NaN : code === 4094 ? null : series.low + (series.high - series.low) * code / 4093;
    }
    return values;
  }

  function decoded(series, buckets) {
    const mean = series.mean === undefined ? new Array(buckets).fill(series.low) : decode(series.mean, series, buckets);
    return {
      mean: mean,
      min: series.min === undefined ? mean : decode(series.min, series, buckets),
      max: series.max === undefined ? mean : decode(series.max, series, buckets),
    };
  }

  // What has no chart of its own: seconds a second are a share; other cumulative counters are per second.
  function quantity_of(series) {
    const is_rate = series.kind === 'cumulative';
    if (series.unit === 'bytes') return is_rate ? 'bytes_per_s' : 'bytes';
    if (series.unit === 'bytes per second') return 'bytes_per_s';
    if (series.unit === 'seconds') return is_rate ? 'share' : 'seconds';
    if (series.unit === 'joules' && is_rate) return 'watts';
    if (['watts', 'hertz', 'celsius'].includes(series.unit)) return series.unit;
    if (series.unit === 'ratio') return 'share';
    return is_rate ? 'per_s' : 'none';
  }

  const axis_words = {bytes: 'bytes', bytes_per_s: 'bytes per second', share: 'share of the time', seconds: 'seconds', watts: 'watts', hertz: 'clocks', celsius: 'temperature', per_s: 'per second', none: ''};

  // Of a series without a chart of its own: by what it is of, and what it is measured in.
  function other_chart(series) {
    const word = series.name.split(/[_:]/)[0];
    const quantity = quantity_of(series);
    const unit = quantity === 'none' ? series.unit : axis_words[quantity];
    return {order: 1000, title: `${kinds[word] || word}${unit ? ': ' + unit : ''}`, quantity: quantity};
  }

  // "gpu:0" of "gpu:0 (GPU-1a2b3c4d)" and "cpu:0 (pid 4711)", where nothing else is called so.
  function short_device(device, devices) {
    const short = (name) => name.replace(/ \((pid \d+|(?:GPU|MIG)-[^)]*)\)$/, '');
    return devices.filter((other) => short(other) === short(device)).length === 1 ? short(device) : device;
  }

  // "memory used" of gpu_memory_used_bytes.
  function short_name(series) {
    const words = series.name.split('_').filter((word) => word !== 'total' && word !== series.unit);
    if (words.length > 1 && kinds[words[0]] !== undefined) words.shift();
    return words.join(' ');
  }

  const is_zero = (series) => series.low === 0 && series.high === 0;

  // Charts in their order. One that is zero throughout takes a line; in another, what is zero throughout is left out.
  function groups_of(data) {
    const groups = new Map();
    const devices = [...new Set(data.series.map((series) => series.device))];
    for (const series of data.series) {
      const chart = series.chart || other_chart(series);
      if (!groups.has(chart.title)) groups.set(chart.title, {...chart, series: []});
      groups.get(chart.title).series.push(series);
    }
    for (const group of groups.values()) {
      group.is_zero = group.series.every(is_zero);
      if (!group.is_zero) group.series = group.series.filter((series) => !is_zero(series) || series.virtual || always_drawn(series));
      const is_one_name = new Set(group.series.map((series) => series.name)).size === 1 && group.order < 1000;
      const is_one_device = new Set(group.series.map((series) => series.device)).size === 1 && group.series.length > 1;
      group.series = group.series.map((series) => {
        const device = short_device(series.device, devices);
        return {...series, label: is_one_name ? device : is_one_device ? short_name(series) : `${device} ${short_name(series)}`};
      });
    }
    const sorted = [...groups.values()].sort((a, b) => a.order - b.order);
    return {main: sorted.filter((group) => group.order < 1000), more: sorted.filter((group) => group.order >= 1000)};
  }

  // An idle GPU's line at zero is an answer.
  function always_drawn(series) {
    return series.chart !== null && ['gpu_utilization_ratio', 'gpu_sm_active_ratio', 'gpu_power_watts', 'gpu_memory_used_bytes'].includes(series.name);
  }

  // A limit far above what is used would press everything else to the ground.
  function starts_hidden(series, group) {
    if (series.low !== series.high) return false;
    const others = group.series.filter((other) => other.low !== other.high).map((other) => other.high);
    return others.length > 0 && series.high > 4 * Math.max(...others);
  }

  // Equal devices have equal colours in all charts; equal counters of a chart equal dashes. Where there are more devices
  // than colours, they come again with broken lines. Of a chart of one device each series has a colour.
  function look_of(group, devices) {
    const names = [...new Set(group.series.map((series) => series.name))];
    const is_one_device = new Set(group.series.map((series) => series.device)).size === 1;
    return group.series.map((series, index) => {
      const at = is_one_device && names.length > 1 ? index : devices.indexOf(series.device);
      const dash = names.length > 1 && !is_one_device ? names.indexOf(series.name) : Math.floor(at / page.device_colour_count);
      return {colour: page.theme.device_colour(at), dash: dashes[dash % dashes.length]};
    });
  }

  // Devices in the order of the charts, so that GPUs have the first colours.
  function devices_of(groups) {
    return [...new Set(groups.flatMap((group) => group.series.map((series) => series.device)))];
  }

  // The time of a bucket.
  function middle_of(at, data) {
    return data.since + (at + 0.5) * data.seconds / data.buckets;
  }

  function rows_of(group, data) {
    const columns = group.series.map((series) => decoded(series, data.buckets));
    const rows = [];
    for (let at = 0; at < data.buckets; ++at)
      rows.push([middle_of(at, data), ...columns.map((column) => (column.mean[at] === null ? null : [column.min[at], column.mean[at], column.max[at]]))]);
    return rows;
  }

  function mark_of(look) {
    const canvas = page.make('canvas', {width: 44, height: 16, 'aria-hidden': 'true'});
    const context = canvas.getContext('2d');
    context.scale(2, 2);
    context.strokeStyle = look.colour;
    context.lineWidth = 2;
    context.setLineDash(look.dash || []);
    context.beginPath();
    context.moveTo(0, 4);
    context.lineTo(22, 4);
    context.stroke();
    return canvas;
  }

  function legend_of(chart, looks) {
    const legend = page.make('div', {class: 'legend', role: 'group', 'aria-label': `Series of ${chart.group.title}`});
    chart.values = chart.group.series.map((series, index) => {
      const value = page.make('span', {class: 'value'});
      const button = page.make('button', {type: 'button', title: series.help, 'aria-pressed': String(chart.visible[index]), onclick: () => {
        chart.visible[index] = !chart.visible[index];
        button.setAttribute('aria-pressed', String(chart.visible[index]));
        chart.graph.setVisibility(index, chart.visible[index]);
      }}, mark_of(looks[index]), series.label, value);
      legend.append(button);
      return value;
    });
    return legend;
  }

  function show_values(chart, row) {
    const format = page.quantity[chart.group.quantity];
    chart.values.forEach((element, index) => {
      const value = row === null ? null : chart.rows[row][index + 1];
      element.textContent = value === null || Number.isNaN(value[1]) ? '' : format(value[1]);
    });
  }

  function options_of(chart, looks, view) {
    const format = page.quantity[chart.group.quantity];
    const series = {};
    chart.group.series.forEach((one, index) => {
      series[String(index)] = {color: looks[index].colour, strokePattern: looks[index].dash};
    });
    return {
      labels: ['time', ...chart.group.series.map((one, index) => String(index))],
      customBars: true,
      connectSeparatedPoints: true,
      series: series,
      visibility: chart.visible.slice(),
      legend: 'never',
      strokeWidth: 1.5,
      fillAlpha: 0.18,
      includeZero: chart.group.quantity !== 'celsius' && chart.group.quantity !== 'hertz',
      labelsKMG2: chart.group.quantity.startsWith('bytes'),
      gridLineColor: page.theme.value('--grid'),
      axisLineColor: page.theme.value('--line'),
      axisLabelFontSize: 11,
      rightGap: 8,
      xRangePad: 0,
      animatedZooms: false,
      dateWindow: view.range.slice(),
      axes: {
        x: {axisLabelFormatter: (value) => page.seconds(value), axisLabelWidth: 64, pixelsPerLabel: 80},
        y: {axisLabelFormatter: (value) => format(value), axisLabelWidth: 76, pixelsPerLabel: 28},
      },
      drawCallback: (graph) => view.drawn(graph),
      highlightCallback: (event, x, points, row) => view.select(row),
      unhighlightCallback: () => view.select(null),
      highlightCircleSize: 3,
    };
  }

  // What all charts of an interval share: the window of time, the row under the pointer.
  class View {
    constructor(data) {
      this.whole = [data.since, data.since + data.seconds];
      this.range = this.whole.slice();
      this.charts = [];
      this.redraw_phases = () => {};
      this.is_busy = false;
    }
    drawn(graph) {
      if (this.is_busy) return;
      const range = graph.xAxisRange();
      this.range = [Math.max(range[0], this.whole[0]), Math.min(range[1], this.whole[1])];
      this.is_busy = true;
      for (const chart of this.charts)
        if (chart.graph && chart.graph !== graph) chart.graph.updateOptions({dateWindow: this.range.slice()});
      this.is_busy = false;
      this.redraw_phases(graph.getArea(), this.range);
    }
    select(row) {
      for (const chart of this.charts) {
        if (!chart.graph) continue;
        if (row === null) chart.graph.clearSelection();
        else chart.graph.setSelection(row);
        show_values(chart, row);
      }
    }
    // By share of what is shown: zoom(0.5) shows half, move(0.25) goes a quarter on.
    show(begin, end) {
      const [first, last] = this.whole;
      const length = Math.min(Math.max(end - begin, (last - first) / 5000), last - first);
      const from = Math.min(Math.max(begin, first), last - length);
      if (this.charts.length > 0) this.charts[0].graph.updateOptions({dateWindow: [from, from + length]});
    }
    zoom(by) {
      const middle = (this.range[0] + this.range[1]) / 2, half = (this.range[1] - this.range[0]) / 2 * by;
      this.show(middle - half, middle + half);
    }
    move(by) {
      const step = (this.range[1] - this.range[0]) * by;
      this.show(this.range[0] + step, this.range[1] + step);
    }
    destroy() {
      for (const chart of this.charts) if (chart.graph) chart.graph.destroy();
      this.charts = [];
    }
  }

  function tools_of(view) {
    return page.make('div', {class: 'controls', role: 'group', 'aria-label': 'Time shown'},
                     page.button('Earlier', 'Earlier', () => view.move(-0.5)),
                     page.button('Later', 'Later', () => view.move(0.5)),
                     page.button('Zoom in', 'Show half of the time', () => view.zoom(0.5)),
                     page.button('Zoom out', 'Show twice the time', () => view.zoom(2)),
                     page.button('All', 'Show all of the time', () => view.show(...view.whole)),
                     page.make('span', {class: 'hint'}, 'Drag to zoom, shift and drag to move, double click for all.'));
  }

  function csv_of(data) {
    const columns = data.series.map((series) => decoded(series, data.buckets));
    const quote = (text) => '"' + text.replace(/"/g, '""') + '"';
    let text = 'seconds,' + data.series.map((series) => quote(`${series.device} ${series.name}${series.kind === 'cumulative' ? ' per second' : ''}`)).join(',') + '\n';
    for (let at = 0; at < data.buckets; ++at)
      text += page.plain(middle_of(at, data)) + ',' + columns.map((column) => (Number.isFinite(column.mean[at]) && column.mean[at] !== null ? column.mean[at] : '')).join(',') + '\n';
    return text;
  }

  function add_chart(box, group, data, devices, view) {
    if (group.is_zero) box.append(zero_chart(group, data, devices, view));
    else draw_chart(box, group, data, devices, view);
  }

  // A line that says so, with the chart inside.
  function zero_chart(group, data, devices, view) {
    const count = new Set(group.series.map((series) => series.device)).size;
    const of = count === 1 ? group.series[0].device : `${count} devices`;
    const details = page.make('details', {class: 'choices'}, page.make('summary', {}, `${group.title}: zero throughout (${of})`));
    details.addEventListener('toggle', () => {
      if (details.open && details.childElementCount === 1) draw_chart(details, group, data, devices, view);
    });
    return details;
  }

  function draw_chart(box, group, data, devices, view) {
    const chart = {group: group, rows: rows_of(group, data), visible: group.series.map((series) => !starts_hidden(series, group))};
    const looks = look_of(group, devices);
    const plot = page.make('div', {class: 'dygraph', role: 'img', 'aria-label': `${group.title} over time`});
    box.append(page.make('h5', {}, group.title), plot, legend_of(chart, looks));
    view.charts.push(chart);
    chart.graph = new Dygraph(plot, chart.rows, options_of(chart, looks, view));
  }

  // What few ask for, drawn when it is opened.
  function more_charts(groups, data, devices, view, is_open) {
    const inside = page.make('div', {});
    const details = page.make('details', {class: 'choices'}, page.make('summary', {}, `All other counters (${groups.length} charts)`), inside);
    details.addEventListener('toggle', () => {
      if (!details.open || inside.childElementCount > 0) return;
      for (const group of groups) add_chart(inside, group, data, devices, view);
    });
    details.open = is_open;
    return details;
  }

  // The interval with its series' names, which stand in the page once. Its times are since the interval's begin, or,
  // where it is a part of something longer, since that one's.
  function read(id) {
    const data = page.data(id);
    if (data === null) return null;
    const names = page.data('series-names');
    data.since = data.since || 0;
    for (const track of data.tracks)
      for (const phase of track.phases) {
        phase[1] += data.since;
        phase[2] += data.since;
      }
    data.series = data.series.map(([of, low, high, mean, min, max]) => ({...names[of], low, high, mean, min, max}));
    return data;
  }

  // Draws the interval in `box`; returns what ends it.
  function open(box) {
    const data = read(box.dataset.series);
    if (data === null || data.series.length === 0) {
      if (data !== null) box.replaceChildren(page.make('p', {class: 'note'}, 'No time series of this cell: nothing was sampled while it ran.'));
      return () => box.replaceChildren();
    }
    const view = new View(data);
    const {main, more} = groups_of(data);
    const devices = devices_of([...main, ...more]);
    const strips = page.make('div', {class: 'strips'});
    const controls = tools_of(view);
    controls.append(page.make('span', {class: 'space'}), page.button('CSV', 'Download these time series as CSV', () => page.download(page.file_name(box.dataset.series) + '.csv', 'text/csv', csv_of(data))));
    box.replaceChildren(page.make('h4', {}, 'Over time'), controls, strips);
    const redraw = page.phases.add(strips, data.tracks);
    for (const group of main) add_chart(box, group, data, devices, view);
    if (more.length > 0) box.append(more_charts(more, data, devices, view, main.length === 0));
    view.redraw_phases = redraw;
    if (view.charts.length > 0) redraw(view.charts[0].graph.getArea(), view.range);
    let end = () => {
      page.theme.forget(again);
      view.destroy();
      box.replaceChildren();
    };
    function again() {
      end();
      end = open(box);
    }
    page.theme.on_change(again);
    return () => end();
  }

  return {open: open};
})();
