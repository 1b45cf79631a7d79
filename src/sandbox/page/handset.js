// The owner's phone: what is drawn is text only, never markup.
const root = document.getElementById('sessions');
const problem = document.getElementById('error');
const drawn = new Map();

async function call(what, body) {
  const answer = await fetch('/sandbox/handset/' + what, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  problem.textContent = answer.ok ? '' : ((await answer.json().catch(() => ({}))).error || 'It did not work.');
  refresh();
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function field(label, value, wide) {
  const made = document.createElement('label');
  const input = document.createElement('input');
  if (wide) made.className = 'wide';
  input.value = value;
  made.append(label, input);
  return [made, input];
}

function button(text, act, kind) {
  const made = element('button', text);
  made.type = 'button';
  if (kind) made.className = kind;
  made.addEventListener('click', act);
  return made;
}

function row(...parts) {
  const made = document.createElement('div');
  made.className = 'act';
  made.append(...parts);
  return made;
}

function card(name) {
  const section = document.createElement('section');
  const state = element('p', '');
  state.className = 'state';
  const [owner, ownerInput] = field('Its number', '15550001111');
  const [customer, customerInput] = field('A customer', '15551234567');
  const [words, wordsInput] = field('writes', 'Hello?', true);
  const arrived = document.createElement('ul');
  const scan = button('Scan the code', () => call('scan', { session: name, phone: ownerInput.value }), 'main');
  const unlink = button('Unlink', () => call('unlink', { session: name }));
  const send = button('Send', () => call('write', { session: name, phone: customerInput.value, text: wordsInput.value }));
  section.append(element('h2', name), state, row(owner, scan, unlink), row(customer, words, send), arrived);
  return { section, state, arrived };
}

async function refresh() {
  const sessions = await (await fetch('/sandbox/handset/sessions')).json();
  for (const session of sessions) {
    if (!drawn.has(session.name)) {
      if (drawn.size === 0) root.textContent = '';
      drawn.set(session.name, card(session.name));
      root.append(drawn.get(session.name).section);
    }
    const { state, arrived } = drawn.get(session.name);
    state.textContent = session.code ? 'It shows a code to scan.' : 'It shows no code.';
    arrived.replaceChildren(...session.arrived.map((m) => element('li', m.to + ': ' + m.text)));
  }
}

refresh();
setInterval(() => refresh().catch(() => {}), 2000);
