// The support team's and the sender's jobs: files, templates, customers who said stop, and a line at a human pace.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axeFinds, browser, demo, open, signIn, until } from './harness.mjs';

let server;
let chrome;
before(async () => { [server, chrome] = await Promise.all([demo(), browser()]); });
after(async () => { await chrome?.close(); await server?.stop(); });

const well = async (page) => {
  assert.deepEqual(page.wrong, []);
  await page.context().close();
};
const hears = (from, words) => until(() => server.phone(from), (phone) => phone.bubbles.some((one) => JSON.stringify(one).includes(words)));
/** One red pixel. */
const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC', 'base64');

test('C-5: a reply with a file, and a template, leave from the conversation; what WhatsApp refuses is said', async () => {
  const page = await open(chrome);
  await signIn(page, server, '/conversations');
  server.simulate('message', '--from', '15550200001', '--name', 'Fila', '--text', 'Where do I find you?');
  await page.getByRole('link', { name: /Fila/ }).click();
  await page.locator('.bubble.in', { hasText: 'Where do I find you?' }).waitFor();
  await page.locator('input[type=file]').setInputFiles({ name: 'map.png', mimeType: 'image/png', buffer: PNG });
  await page.getByText('map.png').waitFor();
  await page.getByLabel('Write an answer').fill('Here is the way.');
  await page.getByLabel('Write an answer').press('Enter');
  await page.locator('.bubble.person', { hasText: 'Here is the way.' }).waitFor();
  await hears('15550200001', '[image]');
  assert.equal(await page.getByText('map.png').count() > 1, false, 'the file is taken off once it is sent');

  await page.getByRole('button', { name: 'Send a template' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name of the template').fill('Not A Name');
  await dialog.getByRole('button', { name: 'Send a template' }).click();
  await dialog.locator('[aria-invalid=true]').waitFor();
  assert.equal(await dialog.getByLabel('Name of the template').inputValue(), 'Not A Name', 'what was typed is kept');
  assert.deepEqual(await axeFinds(page), []);
  await dialog.getByLabel('Name of the template').fill('order_ready');
  await dialog.getByRole('button', { name: 'Add a value' }).click();
  await dialog.getByRole('button', { name: 'Add a value' }).click();
  await dialog.getByLabel('Value 1').fill('Fila');
  await dialog.getByLabel('Value 2').fill('4711');
  await dialog.getByRole('button', { name: 'Send a template' }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.locator('.bubble.person', { hasText: 'order_ready' }).getByText(/Sent|Delivered|Read/).waitFor();
  // Focus is back where the dialog was opened.
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('aria-label')), 'Send a template');
  await well(page);
});

test('C-10: whoever wrote STOP is left alone, and the thread says so', async () => {
  const page = await open(chrome);
  await signIn(page, server, '/conversations');
  server.simulate('message', '--from', '15550200002', '--name', 'Paz', '--text', 'STOP');
  await page.getByRole('link', { name: /Paz/ }).click();
  await page.getByText('This customer wrote STOP').waitFor();
  await page.getByLabel('Write an answer').fill('But we have an offer!');
  assert.equal(await page.getByRole('button', { name: 'Send', exact: true }).isDisabled(), true);
  assert.equal(await page.getByRole('button', { name: 'Send a template' }).isDisabled(), true);
  await well(page);
});

test('S3-16: what is started waits in line at a human pace; it is paused, withdrawn, and goes on', async () => {
  const page = await open(chrome);
  await signIn(page, server);
  await page.evaluate(() => localStorage.setItem('switchboard-tenant', 'ecommerce'));
  await server.api('POST', 'sessions', {});
  const session = () => server.api('GET', 'sessions/tenant_ecommerce');
  await until(session, (one) => one.state === 'pairing');
  await fetch(`${server.url}/sandbox/handset/scan`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ session: 'tenant_ecommerce', phone: '15550009009' }),
  });
  await until(session, (one) => one.state === 'connected');
  await page.goto(`${server.url}/whatsapp-connect`);
  await page.getByRole('link', { name: 'Pace and queue' }).click();
  await page.getByText('0 of 20 messages of your own').waitFor();
  await page.getByRole('switch', { name: 'Pause what we start' }).click({ force: true });
  await page.getByText('nothing of your own leaves').waitFor();
  for (const n of [1, 2, 3]) await server.api('POST', 'sessions/tenant_ecommerce/messages', { to: `3460011122${n}`, message: `Parcel ${n} is here.` });
  await page.getByText('Paused by a person.').nth(2).waitFor();
  assert.deepEqual(await axeFinds(page), []);
  const second = page.locator('.rows > *', { hasText: 'Parcel 2 is here.' });
  await second.getByRole('button', { name: 'Withdraw', exact: true }).click();
  await second.waitFor({ state: 'detached' });
  // Bounds: what is wrong is said at its field.
  await page.getByLabel('Messages a day').fill('-5');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText(/Must be from 0 to/).waitFor();
  await page.getByLabel('Messages a day').fill('50');
  await page.getByLabel('Gap, at least (seconds)').fill('1');
  await page.getByLabel('Gap, at most (seconds)').fill('1');
  await page.getByRole('button', { name: 'Save' }).click();
  await until(session, (one) => one.pace.maxGapSeconds === 1 && one.pace.dailyCap === 50);
  await page.getByRole('switch', { name: 'Pause what we start' }).click({ force: true });
  await page.getByText('2 of 20 messages of your own').waitFor({ timeout: 30_000 });
  await page.getByText('Nothing here').waitFor();
  await well(page);
});
