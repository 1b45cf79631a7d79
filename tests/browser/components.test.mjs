// The components in somebody else's page: another site, its own server, a policy that allows nothing, and tokens only.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { crm } from '../../docs/examples/components.mjs';
import { axeFinds, browser, demo, open, overflow, pause, until } from './harness.mjs';

let server;
let chrome;
let key;
const pages = [];
before(async () => {
  [server, chrome] = await Promise.all([demo(), browser()]);
  ({ key } = await server.api('POST', 'api-keys', { name: 'crm', role: 'admin' }));
});
after(async () => {
  await chrome?.close();
  pages.forEach((one) => one.stop());
  await server?.stop();
});

/** The CRM with these wishes, open in a browser. */
async function visit(more, options) {
  const site = await crm({ server: server.url, key, more });
  pages.push(site);
  const page = await open(chrome, options);
  await page.goto(site.url);
  return { page, site, connect: page.locator('whatsapp-connect'), send: page.locator('whatsapp-send') };
}

const TO = { send: { to: '15550200001', chatbotId: 'ecommerce-chatbot-id' } };
const scan = (session, phone) => fetch(`${server.url}/sandbox/handset/scan`, {
  method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ session, phone }),
});

test('a page of another site links a number: code, countdown, code to type, success, and disconnected again', async () => {
  const { page, connect } = await visit(TO);
  await connect.getByRole('button', { name: 'Connect WhatsApp' }).click();
  const code = connect.getByRole('img', { name: 'Scan this QR code with WhatsApp:' });
  await code.waitFor({ timeout: 15_000 });
  const { width } = await code.boundingBox();
  assert.ok(width >= 250, `the code is big: ${width}`);
  await connect.getByText(/New code in \d+ s/).waitFor();
  // It never blanks: while a minute's worth of polls goes by there is a code in every frame.
  await page.evaluate(() => {
    const root = document.querySelector('whatsapp-connect').shadowRoot;
    window.blanks = 0;
    window.watch = setInterval(() => { if (!root.querySelector('svg')) window.blanks += 1; }, 20);
  });
  await pause(6000);
  assert.equal(await page.evaluate(() => { clearInterval(window.watch); return window.blanks; }), 0);
  assert.deepEqual(await axeFinds(page), []);
  // By keyboard: the way without a camera.
  await connect.getByRole('button', { name: /No camera/ }).focus();
  await page.keyboard.press('Enter');
  await connect.getByLabel(/The phone’s number/).fill('12');
  await page.keyboard.press('Enter');
  await connect.getByText(/with its country code, for example/).waitFor();
  await connect.getByLabel(/The phone’s number/).fill('+1 555 000 9101');
  await connect.getByRole('button', { name: 'Get a code' }).click();
  await connect.locator('[data-code]').waitFor();
  assert.match(await connect.locator('[data-code]').textContent(), /^[0-9A-Z]{4}-?[0-9A-Z]{4}$/);
  await connect.getByRole('button', { name: 'Back to the QR code' }).click();

  assert.ok((await scan('tenant_ecommerce', '15550009101')).ok);
  await connect.getByText('Connected', { exact: true }).waitFor({ timeout: 15_000 });
  await connect.getByText('+15550009101').waitFor();
  await page.locator('#said').getByText(/^(connected|statechange)/).waitFor();
  assert.deepEqual(await axeFinds(page), []);

  await connect.getByRole('button', { name: 'Disconnect' }).click();
  await connect.getByText('Disconnect this number?').waitFor();
  await connect.getByRole('button', { name: 'Yes, disconnect' }).click();
  await connect.getByRole('button', { name: 'New QR code' }).waitFor({ timeout: 15_000 });
  assert.equal(await connect.locator('svg').count(), 0);
  assert.deepEqual(page.wrong, [], 'and the policy of the page has nothing to complain of');
  await page.context().close();
});

test('a page of another site writes to its customer, and sees how far it gets', async () => {
  const { page, send } = await visit(TO);
  await send.getByText(/has not written within 24 hours/).waitFor();
  assert.equal(await send.getByRole('button', { name: 'Send' }).count(), 0);
  server.simulate('message', '--from', '15550200001', '--text', 'where is my order?');
  await page.reload();
  await send.getByLabel('Message').fill('It left <b>today</b>.');
  assert.deepEqual(await axeFinds(page), []);
  await send.getByText(/Words are taken until/).waitFor();
  await send.getByRole('button', { name: 'Send' }).click();
  await send.getByText(/On its way|Sent|Delivered|Read/).first().waitFor();
  await until(() => send.locator('[data-status]').getAttribute('data-status'), (status) => ['delivered', 'read'].includes(status), 20_000);
  await send.getByText('It left <b>today</b>.').waitFor();
  const phone = JSON.stringify(await server.phone('15550200001'));
  assert.equal(phone.split('It left <b>today</b>.').length - 1, 1, 'once, and as it was written');
  await page.locator('#said').getByText(/statuschange/).waitFor();
  assert.deepEqual(await axeFinds(page), []);
  await send.getByRole('button', { name: 'Write another' }).click();
  await send.getByLabel('Message').waitFor();
  // They wrote STOP: nothing goes out, and it is said why.
  server.simulate('message', '--from', '15550200001', '--text', 'STOP');
  await until(async () => { await page.reload(); await pause(700); return send.getByText('This customer wants no messages.').count(); }, (count) => count === 1);
  assert.deepEqual(page.wrong, []);
  await page.context().close();
});

test('an ended token, another site and another client’s session are refused calmly', async () => {
  const { page, connect, send, site } = await visit(TO);
  await connect.getByRole('button').first().waitFor();
  const calm = async (sentence) => {
    await connect.getByText(sentence).waitFor();
    assert.equal(await connect.locator('button, svg').count(), 0);
    assert.deepEqual(await axeFinds(page), []);
  };
  const hold = (token) => page.evaluate((token) => document.querySelector('whatsapp-connect').setAttribute('token', token), token);
  const mint = async (body) => fetch(`${server.url}/api/v1/component-tokens`, {
    method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: JSON.stringify(body),
  });
  // No more tokens from the page's own server: what happens now is the component's own.
  await page.route('**/token/**', (route) => route.fulfill({ status: 403, body: '{}' }));

  // Of another site.
  const other = (await (await mint({ component: 'connect', origin: 'https://elsewhere.example.com' })).json()).data.token;
  await hold(other);
  await calm('This may not be shown on this site.');
  // The server says the same to whoever asks with it all the same, and nothing that the page could read.
  const claims = JSON.parse(Buffer.from(other.slice(other.indexOf('_') + 1, other.indexOf('.')), 'base64url'));
  const refused = await page.evaluate(([url, token]) => fetch(url, { headers: { authorization: `Bearer ${token}` } }).then(() => 'read', () => 'not read'),
    [`${server.url}/api/v1/components/${claims.site}/session`, other]);
  assert.equal(refused, 'not read');

  // Of another component.
  await hold((await (await mint({ component: 'send', origin: site.url, ...TO.send })).json()).data.token);
  await calm('This page has no permission to show this yet.');

  // Ended: nobody gives a new one.
  await hold((await (await mint({ component: 'connect', origin: site.url, ttlSeconds: 10 })).json()).data.token);
  await connect.getByRole('button').first().waitFor();
  await connect.getByText('This page’s permission has ended. Reload the page.').waitFor({ timeout: 25_000 });
  await calm('This page’s permission has ended. Reload the page.');
  // With a new one it goes on where it was.
  await hold((await (await mint({ component: 'connect', origin: site.url })).json()).data.token);
  await connect.getByRole('button').first().waitFor();

  // Another client's session: there is no token for it, so the page has nothing to show.
  await server.api('POST', 'sessions', { name: 'theirs' }, 'support');
  assert.equal((await mint({ component: 'connect', origin: site.url, session: 'theirs' })).status, 404);
  // One that is put away while it is shown.
  await server.api('POST', 'sessions', { name: 'mine' });
  await hold((await (await mint({ component: 'connect', origin: site.url, session: 'mine' })).json()).data.token);
  await connect.locator('svg').waitFor({ timeout: 15_000 });
  await server.api('DELETE', 'sessions/mine');
  await calm('This is not there any more.');
  // The API key is revoked: both end.
  const keys = await server.api('GET', 'api-keys');
  await server.api('DELETE', `api-keys/${keys.find((one) => one.name === 'crm').id}`);
  await send.getByText('This page’s permission has ended. Reload the page.').waitFor({ timeout: 40_000 });
  ({ key } = await server.api('POST', 'api-keys', { name: 'crm', role: 'admin' }));
  assert.deepEqual(page.wrong.filter((words) => !/CORS|Failed to fetch/.test(words)), []);
  await page.context().close();
});

test('in three languages, light and dark, on a small screen', async () => {
  for (const [lang, word, dir] of [['es', 'Conectar WhatsApp', 'ltr'], ['fa', 'اتصال واتس‌اپ', 'rtl']]) {
    const { page, connect } = await visit(TO, { viewport: { width: 320, height: 700 }, colorScheme: 'dark' });
    await page.evaluate((lang) => { document.documentElement.lang = lang; for (const one of document.querySelectorAll('whatsapp-connect, whatsapp-send')) one.setAttribute('lang', lang); }, lang);
    await connect.getByText(new RegExp(`${word}|Desconectado|قطع شد`)).first().waitFor();
    assert.equal(await connect.evaluate((element) => getComputedStyle(element).direction), dir);
    assert.ok(await overflow(page) <= 0);
    assert.deepEqual(await axeFinds(page), []);
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  }
});
