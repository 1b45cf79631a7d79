// Makes the pictures of docs/DASHBOARD.md from a demo with something in it: npm run pictures [folder]
import { mkdirSync } from 'node:fs';
import { browser, demo, open, pause, signIn, until } from './harness.mjs';

const folder = process.argv[2] ?? new URL('../../docs/screenshots', import.meta.url).pathname;
mkdirSync(folder, { recursive: true });
const [server, chrome] = await Promise.all([demo(), browser()]);
try {
  const customers = [['Rosa Prieto', 'Do you deliver to Segovia?'], ['علی رضایی', 'سلام، سفارش من کجاست؟'], ['Tom Becker', 'Can I still change my order?'], ['Amélie Roux', 'Are you open on Sunday?']];
  for (const [n, [name, text]] of customers.entries()) server.simulate('message', '--from', `1555040000${n}`, '--name', name, '--text', text);
  await until(() => server.api('GET', 'conversations'), (rows) => rows.length === customers.length);
  const talks = await server.api('GET', 'conversations?q=Rosa');
  await until(() => server.api('GET', `conversations/${talks[0].id}/messages`), (rows) => rows.some((one) => one.author === 'chatbot'));
  await server.api('POST', `conversations/${talks[0].id}/messages`, { message: 'We do, from Monday on. Shall I put it on the list for you?' });
  server.simulate('message', '--from', '15550400000', '--name', 'Rosa Prieto', '--text', 'Yes, please!');
  await server.api('POST', 'sessions', { chatbotId: 'ecommerce-chatbot-id' });
  await until(() => server.api('GET', 'sessions/tenant_ecommerce'), (one) => one.state === 'pairing');

  const shoot = async (name, path, options, act = async () => {}) => {
    const page = await open(chrome, { viewport: { width: 1180, height: 720 }, ...options });
    await signIn(page, server);
    await page.goto(server.url + path);
    await act(page);
    await pause(1500);
    await page.screenshot({ path: `${folder}/${name}.png` });
    await page.context().close();
  };
  await shoot('overview', '/');
  await shoot('conversation', `/conversations/${talks[0].id}`);
  await shoot('trace', `/conversations/${talks[0].id}`, {}, async (page) => {
    await page.locator('.bubble.in').getByRole('link', { name: 'trace' }).first().click();
    await page.locator('.stations li').first().waitFor();
  });
  await shoot('wizard', '/numbers/new', {}, async (page) => {
    await page.getByLabel('Phone number ID').fill('123456789');
    await page.getByLabel('WhatsApp Business Account ID').fill('100000000000001');
    await page.getByLabel('Access token').fill('demo-access-token-of-ecommerce');
    await page.getByText('Everything fits').waitFor();
  });
  await shoot('linking', '/whatsapp-connect', { colorScheme: 'dark', viewport: { width: 1180, height: 860 } }, (page) => page.locator('.qr img').waitFor());
  await shoot('phone-fa', `/conversations/${talks[0].id}`, { locale: 'fa', viewport: { width: 390, height: 780 } });
} finally {
  await chrome.close();
  await server.stop();
}
