// Every page, in every language, look and width: nothing overflows, axe finds nothing, nothing is blank.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { axeFinds, browser, demo, open, overflow, pause, signIn, until } from './harness.mjs';

const PAGES = [
  '/', '/conversations', '/conversations/FIRST', '/failures', '/failures?show=in', '/alerts', '/contacts', '/contacts/CONTACT', '/analytics', '/trace', '/trace?wamid=WAMID', '/numbers', '/numbers/new',
  '/numbers/acc_1', '/whatsapp-connect', '/whatsapp-connect/tenant_ecommerce/pace', '/chatbots', '/chatbots/ecommerce-chatbot-id', '/tenants', '/team', '/api-keys', '/webhooks', '/audit',
  '/settings', '/settings/nothing', '/chatbots/nothing',
];
/** A language, a look and a width, so that each is met by every page at least once. */
const LOOKS = [
  { locale: 'en', colorScheme: 'light', width: 1440 }, { locale: 'es', colorScheme: 'dark', width: 768 }, { locale: 'fa', colorScheme: 'light', width: 360 },
  // Languages and looks were judged by axe above, each with each page: here only whether everything fits.
  { locale: 'fa', colorScheme: 'dark', width: 1440, judged: false }, { locale: 'es', colorScheme: 'light', width: 360, judged: false },
];
/** With SCREENSHOTS=<folder>, pictures are kept. */
const shots = process.env.SCREENSHOTS;

let server;
let chrome;
let first;
let wamid;
before(async () => {
  [server, chrome] = await Promise.all([demo(), browser()]);
  for (const [n, name] of ['Rosa Prieto', 'علی رضایی', 'Tom Becker'].entries()) {
    server.simulate('message', '--from', `1555010001${n}`, '--name', name, '--text', 'Hello, when will my order arrive? It should have been here on Tuesday.');
  }
  const rows = await until(() => server.api('GET', 'conversations'), (rows) => rows.length === 3);
  first = rows[0];
  const said = await until(() => server.api('GET', `conversations/${first.id}/messages`), (rows) => rows.some((one) => one.author === 'chatbot'));
  wamid = said.find((one) => one.wamid).wamid;
  await server.api('POST', 'sessions', {});
  await until(() => server.api('GET', 'sessions/tenant_ecommerce'), (one) => one.state === 'pairing');
  // A failure to look at, and an alert.
  await server.api('POST', 'whatsapp/send?chatbotId=ecommerce-chatbot-id', { to: '15550100010', type: 'template', template: { name: 'never_approved', language: { code: 'en' } } });
  if (shots) mkdirSync(shots, { recursive: true });
});
after(async () => { await chrome?.close(); await server?.stop(); });

for (const { locale, colorScheme, width, judged = true } of LOOKS) {
  test(`${locale}, ${colorScheme}, ${width} px`, async () => {
    const page = await open(chrome, { locale, colorScheme, viewport: { width, height: width < 500 ? 760 : 900 } });
    const problems = [];
    const look = async (name) => {
      if (judged) for (const finding of await axeFinds(page)) problems.push(`${name}: ${finding}`);
      const wider = await overflow(page);
      if (wider > 0) problems.push(`${name}: ${wider} px too wide`);
      if ((await page.locator('body').innerText()).trim().length < 20) problems.push(`${name}: blank`);
      if (shots) await page.screenshot({ path: `${shots}/${name.replace(/\W+/g, '-').replace(/^-|-$/g, '') || 'home'}.${locale}.${colorScheme}.${width}.png` });
    };
    await page.goto(`${server.url}/login`);
    await page.locator('input[type=email]').waitFor();
    await look('/login');
    await signIn(page, server);
    for (const path of PAGES) {
      await page.goto(server.url + path.replace('FIRST', first.id).replace('CONTACT', first.contact.id).replace('WAMID', encodeURIComponent(wamid)));
      await page.locator('h1').first().waitFor({ state: 'attached' });
      // Bones are gone, and what slides has come to rest.
      await page.waitForFunction(() => document.querySelector('.mantine-Skeleton-root') === null);
      await pause(200);
      await look(path);
    }
    // Dialogs too.
    await page.goto(`${server.url}/api-keys`);
    await page.locator('#main button').first().click();
    await page.getByRole('dialog').waitFor();
    await pause(500);
    await look('a dialog');
    assert.deepEqual(problems, []);
    assert.deepEqual(page.wrong, []);
    await page.context().close();
  });
}
