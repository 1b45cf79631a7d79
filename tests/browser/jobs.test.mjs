// People's jobs at the dashboard, done as a person does them: with the keyboard and the mouse, before the real server.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { browser, choosePassword, demo, open, overflow, axeFinds, pause, signIn, until } from './harness.mjs';

let server;
let chrome;
before(async () => { [server, chrome] = await Promise.all([demo(), browser()]); });
after(async () => { await chrome?.close(); await server?.stop(); });

const well = (page) => assert.deepEqual(page.wrong, []);

test('signing in: a wrong password is said, and an ended sign-in leads back to where one was', async () => {
  const page = await open(chrome);
  await page.goto(`${server.url}/chatbots`);
  await page.waitForURL(/\/login\?next=%2Fchatbots/);
  await page.getByLabel('E-mail address').fill(server.email);
  await page.locator('input[autocomplete=current-password]').fill('not the password');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('Nobody signs in with this').waitFor();
  assert.equal(await page.getByLabel('E-mail address').inputValue(), server.email, 'what was typed is kept');
  await page.locator('input[autocomplete=current-password]').fill(server.password);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Chatbots' }).waitFor();
  // The sign-in ends while the page is open.
  await page.context().clearCookies();
  await page.getByRole('link', { name: 'Numbers' }).click();
  await page.getByText('Your sign-in has ended').waitFor();
  await page.getByLabel('E-mail address').fill(server.email);
  await page.locator('input[autocomplete=current-password]').fill(server.password);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Numbers', level: 1 }).waitFor();
  well(page);
  await page.context().close();
});

test('a conversation: it appears by itself, is taken over, answered, found, and handed back', async () => {
  const page = await open(chrome);
  await signIn(page, server, '/conversations');
  server.simulate('message', '--from', '15550100001', '--name', 'Rosa Prieto', '--text', 'Do you deliver to Segovia?');
  const row = page.getByRole('link', { name: /Rosa Prieto/ });
  await row.waitFor({ timeout: 10_000 });
  await row.click();
  await page.locator('.bubble.in', { hasText: 'Do you deliver to Segovia?' }).waitFor();
  await page.getByText('You said: Do you deliver to Segovia?').waitFor();
  assert.match(await page.getByRole('timer').textContent(), /^23:\d\d left to answer$/);

  await page.getByRole('button', { name: 'Take over' }).click();
  await page.getByRole('button', { name: 'Back to the chatbot' }).waitFor();
  server.simulate('message', '--from', '15550100001', '--name', 'Rosa Prieto', '--text', 'Hello? Anybody?');
  await page.getByText('A person has the conversation, so the chatbot is silent.').waitFor({ timeout: 10_000 });

  const box = page.getByLabel('Write an answer');
  await box.fill('We do, from Monday on.');
  await box.press('Enter');
  await page.getByText('We do, from Monday on.').waitFor();
  assert.equal(await box.inputValue(), '');
  const phone = await until(() => server.phone('15550100001'), (phone) => phone.bubbles.some((one) => one.text === 'We do, from Monday on.'));
  assert.equal(phone.bubbles.filter((one) => one.text === 'We do, from Monday on.').length, 1, 'it went out once');
  const mine = page.locator('.bubble.person', { hasText: 'from Monday on' });
  await until(() => mine.count(), (count) => count === 1);
  await mine.getByText(/Delivered|Read/).waitFor({ timeout: 10_000 });

  await page.getByRole('button', { name: 'Back to the chatbot' }).click();
  await page.getByRole('button', { name: 'Take over' }).waitFor();
  server.simulate('message', '--from', '15550100001', '--name', 'Rosa Prieto', '--text', 'And to Soria?');
  await page.getByText('You said: And to Soria?').waitFor({ timeout: 15_000 });

  await page.getByLabel('Search by text, phone or name').fill('Rosa');
  await page.waitForURL(/q=Rosa/);
  await row.waitFor();
  well(page);
  await page.context().close();
});

test('names, words and files of customers are shown as they are and run nothing', async () => {
  const page = await open(chrome);
  await signIn(page, server, '/conversations');
  const evil = '<img src=x onerror=alert(1)><script>alert(2)</script>';
  const words = `"><svg onload=alert(3)> javascript:alert(4) ${'{{7*7}}'} =HYPERLINK("http://x")`;
  server.simulate('message', '--from', '15550100002', '--name', evil, '--text', words);
  const row = page.getByRole('link', { name: evil });
  await row.waitFor({ timeout: 10_000 });
  await row.click();
  await page.locator('.bubble.in', { hasText: 'javascript:alert(4)' }).waitFor();
  assert.equal(await page.locator('.bubble.in p').first().textContent(), words);
  assert.equal(await page.locator('.thread a[href^="javascript"], .thread svg[onload], .thread script').count(), 0);
  await pause(300);
  well(page);
  await page.context().close();
});

test('a chatbot that fails: the customer gets the fallback, people see why, and try it again when it is mended', async () => {
  const page = await open(chrome);
  await signIn(page, server, '/failures');
  await page.getByText('Nothing has failed').waitFor();
  // A server of the client's own that knows nothing.
  const broken = createServer((_, response) => response.writeHead(404).end()).listen(0, '127.0.0.1');
  await new Promise((resolve) => broken.once('listening', resolve));
  await server.api('PATCH', 'chatbots/ecommerce-chatbot-id', { responder: { baseUrl: `http://127.0.0.1:${broken.address().port}` } });
  for (const n of [1, 2, 3]) server.simulate('message', '--from', `1555010030${n}`, '--name', `Waiting ${n}`, '--text', 'Anybody?');
  await page.getByText('The chatbot gave no answer').nth(2).waitFor({ timeout: 20_000 });
  await page.getByRole('link', { name: /Failures/ }).getByText('3').waitFor({ timeout: 20_000 });
  await server.api('PATCH', 'chatbots/ecommerce-chatbot-id', { responder: { baseUrl: null } });
  broken.close();
  await page.getByRole('button', { name: 'Try all 3 again' }).click();
  await page.getByText('3 of 3 are tried again.').waitFor({ timeout: 20_000 });
  await page.getByText('Nothing has failed').waitFor({ timeout: 20_000 });
  const phone = await until(() => server.phone('15550100301'), (phone) => phone.bubbles.some((one) => one.text.includes('You said: Anybody?')));
  assert.ok(phone);
  well(page);
  await page.context().close();
});

test('what nobody connected is put aside, shown with its body, and processed again', async () => {
  const page = await open(chrome);
  server.simulate('message', '--phone-number-id', '555', '--text', 'Is anybody there?');
  await signIn(page, server, '/failures?show=in');
  const row = page.locator('.rows > *', { hasText: '555' });
  await row.waitFor({ timeout: 10_000 });
  await row.getByRole('button', { name: 'Show' }).click();
  await page.locator('pre.raw', { hasText: 'Is anybody there?' }).waitFor();
  await page.keyboard.press('Escape');
  await row.getByRole('button', { name: 'Process again' }).click();
  await page.getByText('It is processed again.').waitFor();
  well(page);
  await page.context().close();
});

test('connecting a number: refusals stand at their checks, then Meta verifies while one watches, and a message goes both ways', async () => {
  await server.api('DELETE', 'whatsapp/integration?chatbotId=support-chatbot-id', undefined, 'support');
  const page = await open(chrome);
  await signIn(page, server);
  await page.getByRole('combobox', { name: 'Client' }).click();
  await page.getByRole('option', { name: 'support' }).click();
  await page.getByRole('link', { name: 'Numbers' }).click();
  await page.getByRole('link', { name: 'Connect a number' }).first().click();
  await page.getByRole('combobox', { name: 'Chatbot' }).fill('support-chatbot-id');
  await page.keyboard.press('Escape');
  await page.getByLabel('Phone number ID').fill('987654321');
  await page.getByLabel('WhatsApp Business Account ID').fill('100000000000002');
  await page.getByLabel('Access token').fill('a token that nobody made');
  await page.getByRole('button', { name: 'Check and connect' }).click();
  await page.getByText('Must have 1 to 4096 characters, without blanks').waitFor();
  await page.getByLabel('Access token').fill('nobody-made-this-token');
  await page.getByRole('button', { name: 'Check and connect' }).click();
  await page.getByRole('img', { name: 'Failed' }).first().waitFor();
  assert.equal(await page.getByLabel('Phone number ID').inputValue(), '987654321', 'what was typed is kept');
  await page.getByLabel('Access token').fill('demo-access-token-of-support');
  await page.getByRole('button', { name: 'Check and connect' }).click();
  await page.getByText('What Meta says').waitFor();
  await page.getByText('Waiting for Meta to ask').waitFor();
  await page.getByRole('button', { name: 'Subscribe and verify' }).click();
  await page.getByText(/^Verified/).waitFor({ timeout: 15_000 });
  await page.getByRole('button', { name: 'Next' }).click();
  server.simulate('message', '--phone-number-id', '987654321', '--from', '15550100009', '--text', 'Testing');
  await page.getByText('A message came in').waitFor({ timeout: 15_000 });
  await page.getByLabel('To').fill('+1 555 010 0009');
  await page.getByRole('button', { name: 'Send test message' }).click();
  await page.getByText(/Delivered|Read/).waitFor({ timeout: 15_000 });
  well(page);
  await page.context().close();
});

test('a lost connection is said and heals by itself; what was typed is kept and goes out once', async () => {
  const page = await open(chrome);
  await signIn(page, server, '/conversations');
  server.simulate('message', '--from', '15550100004', '--name', 'Lina', '--text', 'Still open?');
  await page.getByRole('link', { name: /Lina/ }).click();
  await page.getByText('You said: Still open?').waitFor({ timeout: 10_000 });
  await page.context().setOffline(true);
  await page.getByText('Connection lost').waitFor({ timeout: 10_000 });
  await page.getByLabel('Write an answer').fill('Until eight.');
  await page.keyboard.press('Enter');
  await page.locator('.bubble', { hasText: 'Until eight.' }).getByText('Sending').waitFor();
  await page.context().setOffline(false);
  await page.getByText('Connection lost').waitFor({ state: 'detached', timeout: 15_000 });
  await until(() => server.phone('15550100004'), (phone) => phone.bubbles.some((one) => one.text === 'Until eight.'));
  await pause(1500);
  const phone = await server.phone('15550100004');
  assert.equal(phone.bubbles.filter((one) => one.text === 'Until eight.').length, 1);
  // A draft outlives a reload.
  await page.getByLabel('Write an answer').fill('Half a thought');
  await page.reload();
  await page.getByLabel('Write an answer').waitFor();
  assert.equal(await page.getByLabel('Write an answer').inputValue(), 'Half a thought');
  well(page);
  await page.context().close();
});

test('two people at once: invited by a link, each in their role, neither sees the other\'s client', async () => {
  const owner = await open(chrome);
  await signIn(owner, server);
  const invited = async (email, role) => {
    await owner.goto(`${server.url}/team`);
    await owner.getByRole('button', { name: 'Invite somebody' }).click();
    await owner.getByLabel('E-mail address').fill(email);
    await owner.getByRole('dialog').getByRole('combobox', { name: 'Role' }).click();
    await owner.getByRole('option', { name: role }).click();
    await owner.getByRole('dialog').getByRole('button', { name: 'Invite somebody' }).click();
    const link = await owner.locator('code[data-secret]').textContent();
    await owner.getByRole('button', { name: 'Done' }).click();
    return link;
  };
  const join = async (link) => {
    const page = await open(chrome);
    await page.goto(link);
    await choosePassword(page);
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    return page;
  };
  server.simulate('message', '--from', '15550100005', '--name', 'Shopper', '--text', 'For the shop');
  const [agent, viewer] = [await join(await invited('agent@example.com', 'Agent')), await join(await invited('viewer@example.com', 'Viewer'))];
  await owner.getByRole('combobox', { name: 'Client' }).click();
  await owner.getByRole('option', { name: 'support' }).click();
  await Promise.all([agent, viewer].map(async (page) => {
    await page.getByRole('link', { name: 'Conversations', exact: true }).click();
    await page.getByRole('link', { name: /Shopper/ }).click();
    await page.locator('.bubble.in', { hasText: 'For the shop' }).waitFor();
    assert.equal(await page.getByRole('link', { name: 'API keys' }).count(), 0, 'keys are the administrators’');
  }));
  await agent.getByLabel('Write an answer').fill('Coming!');
  await agent.keyboard.press('Enter');
  await viewer.getByText('Coming!').waitFor({ timeout: 10_000 });
  await viewer.getByText('You may read this conversation').waitFor();
  assert.equal(await viewer.getByRole('button', { name: 'Take over' }).count(), 0);
  await owner.goto(`${server.url}/conversations`);
  await owner.getByRole('heading', { name: 'Conversations', exact: true }).waitFor({ state: 'attached' });
  await pause(800);
  assert.equal(await owner.getByRole('link', { name: /Shopper/ }).count(), 0, 'another client’s conversation is seen');
  for (const page of [owner, agent, viewer]) {
    well(page);
    await page.context().close();
  }
});

test('an API key is shown once, works, and is revoked', async () => {
  const page = await open(chrome);
  await signIn(page, server, '/api-keys');
  await page.getByRole('button', { name: 'New API key' }).first().click();
  await page.getByLabel('Name').fill('CRM');
  await page.getByRole('dialog').getByRole('button', { name: 'New API key' }).click();
  const key = await page.locator('code[data-secret]').textContent();
  await page.getByRole('button', { name: 'Done' }).click();
  const asked = () => fetch(`${server.url}/api/v1/chatbots`, { headers: { authorization: `Bearer ${key}` } }).then((answer) => answer.status);
  assert.equal(await asked(), 200);
  await page.getByText(key).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Revoke' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await page.getByText('Revoked', { exact: true }).waitFor();
  assert.equal(await asked(), 401);
  await page.goto(`${server.url}/audit`);
  await page.getByText('api_key.revoke').waitFor();
  well(page);
  await page.context().close();
});

test('a chatbot: a wrong setting is said at its field and the rest is kept; its trial shows request and response', async () => {
  const page = await open(chrome);
  await signIn(page, server, '/chatbots/ecommerce-chatbot-id');
  await page.getByLabel('Base URL').fill('not an address');
  await page.getByLabel('When there is no answer').fill('Back soon.');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.locator('.mantine-InputWrapper-error').first().waitFor();
  assert.equal(await page.getByLabel('When there is no answer').inputValue(), 'Back soon.');
  await page.getByLabel('Base URL').fill('');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved.').waitFor();
  await page.getByRole('button', { name: 'Ask' }).click();
  await page.getByText(/POST http/).waitFor({ timeout: 15_000 });
  await page.getByRole('tab', { name: 'Response' }).click();
  await page.getByText(/HTTP 200/).waitFor();
  well(page);
  await page.context().close();
});

test('the way of a message is told station by station', async () => {
  const page = await open(chrome);
  await signIn(page, server, '/conversations');
  server.simulate('message', '--from', '15550100006', '--name', 'Tracy', '--text', 'Where does it go?');
  await page.getByRole('link', { name: /Tracy/ }).click();
  await page.locator('.bubble.in').getByRole('link', { name: 'trace' }).click();
  for (const station of ['Written', 'Stored', 'Chatbot asked', 'Answered', 'Handed to WhatsApp', 'Read']) {
    await page.getByText(station, { exact: true }).first().waitFor({ timeout: 10_000 });
  }
  well(page);
  await page.context().close();
});

test('by keyboard alone: skip to the content, open the menu, change the language', async () => {
  const page = await open(chrome);
  await signIn(page, server);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'To the content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'main');
  await page.getByRole('button', { name: 'Your menu' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('menuitem', { name: 'فارسی' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'نمای کلی' }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.dir), 'rtl');
  assert.ok((await overflow(page)) <= 0);
  assert.deepEqual(await axeFinds(page), []);
  await page.getByRole('button', { name: 'منوی شما' }).click();
  await page.getByRole('menuitem', { name: 'English' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  well(page);
  await page.context().close();
});
