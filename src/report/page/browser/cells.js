// The table of all cells: which columns are shown, and the details of a cell in a dialog.

page.cells = (function () {
  let end_series = null;  // of the open dialog
  let opened = null;      // the <details> whose body the dialog shows

  function hide_columns(table, groups) {
    const hidden = [];
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const group = groups.get(header.dataset.group);
      const is_shown = group === undefined || (group.all ? true : group.none ? false : !header.classList.contains('more'));
      if (!is_shown) hidden.push(`.cells tr>:nth-child(${column + 1})`);
    });
    document.getElementById('hidden-columns').textContent = hidden.length > 0 ? hidden.join(',') + '{display:none}' : '';
  }

  // A choice a group: its main columns, all, or none.
  function add_column_choice(table) {
    const groups = new Map();
    for (const header of table.tHead.rows[0].cells)
      if (header.dataset.group !== undefined) groups.set(header.dataset.group, {all: false, none: false});
    const row = page.make('div', {class: 'controls'});
    for (const [name, group] of groups) {
      const choice = page.make('select', {'aria-label': `Columns of ${name}`, onchange: () => {
        group.all = choice.value === 'all';
        group.none = choice.value === 'none';
        hide_columns(table, groups);
      }}, page.make('option', {value: 'main'}, `${name}: main`), page.make('option', {value: 'all'}, `${name}: all`),
          page.make('option', {value: 'none'}, `${name}: none`));
      row.append(choice);
    }
    table.closest('.scroll').before(page.make('details', {class: 'choices'}, page.make('summary', {}, 'Columns'), row));
    hide_columns(table, groups);
  }

  function close_cell(dialog) {
    if (end_series !== null) end_series();
    if (opened !== null) opened.append(dialog.querySelector('.cell-body'));
    end_series = opened = null;
  }

  function open_cell(dialog, details) {
    close_cell(dialog);
    opened = details;
    const body = details.querySelector('.cell-body');
    dialog.querySelector('h3').replaceChildren(...[...details.querySelector('summary').childNodes].map((node) => node.cloneNode(true)));
    dialog.querySelector('.dialog-content').append(body);
    if (!dialog.open) {
      dialog.showModal();
      dialog.querySelector('button.close').focus();  // not by autofocus, which browsers refuse where a link leads here
    }
    dialog.querySelector('.dialog-content').scrollTop = 0;
    end_series = page.series.open(body.querySelector('.series'));
  }

  // In the order in which the table now stands.
  function neighbour(step) {
    const links = [...document.querySelectorAll('table.cells tbody tr:not([hidden]) th a')];
    const at = links.findIndex((link) => link.hash === '#' + opened.id);
    const next = links[at + step];
    return next === undefined ? null : document.querySelector(next.hash);
  }

  function make_dialog() {
    const dialog = page.make('dialog', {'aria-labelledby': 'dialog-title'});
    const go = (step) => () => {
      const details = neighbour(step);
      if (details !== null) location.hash = details.id;
    };
    dialog.append(page.make('div', {class: 'dialog-head'}, page.make('h3', {id: 'dialog-title'}),
                            page.make('div', {class: 'controls'}, page.button('Previous', 'The cell above in the table', go(-1)),
                                      page.button('Next', 'The cell below in the table', go(1)),
                                      page.make('button', {type: 'button', class: 'close', title: 'Close (Escape)', onclick: () => dialog.close()}, 'Close'))),
                  page.make('div', {class: 'dialog-content'}));
    dialog.addEventListener('close', () => {
      const link = document.querySelector(`table.cells a[href="#${opened.id}"]`);
      close_cell(dialog);
      history.replaceState(null, '', location.pathname + location.search + '#cells');
      if (link !== null) link.focus();
    });
    dialog.addEventListener('click', (event) => {
      if (event.target === dialog) dialog.close();
    });
    document.body.append(dialog);
    return dialog;
  }

  function enhance(table) {
    add_column_choice(table);
    const dialog = make_dialog();
    const follow = () => {
      const details = /^#cell-\d+$/.test(location.hash) ? document.querySelector(location.hash) : null;
      if (details !== null) open_cell(dialog, details);
      else if (dialog.open) dialog.close();
    };
    window.addEventListener('hashchange', follow);
    table.addEventListener('click', (event) => {
      const link = event.target.closest('tbody th a');
      if (link !== null && link.hash === location.hash) follow();  // no change of the address would say so
    });
    follow();
  }

  return {enhance: enhance};
})();
