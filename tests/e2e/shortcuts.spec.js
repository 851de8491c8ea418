// Keyboard shortcuts: on every layout, never while typing, and only if enabled.

import { expect, test } from './lib/test.js';

const panel = (person) => person.page.locator('[data-panel="chat"]');
const mic = (person) => person.button('mic');

/** Presses a key of a layout that the test's browser does not have. */
const press = (person, init) =>
  person.page.evaluate((init) => {
    const options = { bubbles: true, composed: true, cancelable: true, ...init };
    (document.activeElement ?? document.body).dispatchEvent(new KeyboardEvent('keydown', options));
  }, init);

/** Checks that the chat is closed: its key opens it instead of closing it. */
async function expectClosed(person) {
  await person.page.evaluate(() => document.activeElement.blur());
  await person.page.keyboard.press('c');
  await expect(panel(person)).toBeVisible();
  await close(person);
}

async function close(person) {
  await panel(person).locator('textarea').press('Escape');
  await expect(panel(person)).toHaveCount(0);
}

test('shortcuts follow the keyboard, spare those who type, and can be switched off', async ({
  join,
  person,
  server,
}) => {
  const ada = await join('Ada', 'keys', { video: false });
  const { page } = ada;
  const { keyboard } = page;
  await expect(ada.ownTile).toBeVisible();
  for (const key of ['с', 'ψ', 'ב', 'ؤ']) {
    await press(ada, { key, code: 'KeyC' });
    await expect(panel(ada), key).toBeVisible();
    await close(ada);
  }

  // An input method handles the key.
  await press(ada, { key: 'c', code: 'KeyC', keyCode: 229 });
  await expectClosed(ada);
  // Typing in DOM trees of others, such as a browser extension's.
  const typeIn = (make) =>
    page.evaluate((make) => {
      const host = document.createElement(make === 'closed' ? 'x-field' : 'div');
      const inner = document.createElement(make === 'editable' ? 'b' : 'input');
      inner.tabIndex = -1;
      host.contentEditable = make === 'editable';
      (make === 'editable' ? host : host.attachShadow({ mode: make })).append(inner);
      document.body.append(host);
      inner.focus();
    }, make);
  for (const kind of ['open', 'closed', 'editable']) {
    await typeIn(kind);
    await keyboard.down('Space');
    await keyboard.press('c');
    await expectClosed(ada);
    await expect(mic(ada)).toHaveAttribute('aria-pressed', 'false');
    await keyboard.up('Space');
  }

  // Talks while Space is held, also after a button was clicked; a button focused by Tab is activated.
  await keyboard.down('Space');
  await expect(mic(ada)).toHaveAttribute('aria-pressed', 'true');
  await keyboard.up('Space');
  await expect(mic(ada)).toHaveAttribute('aria-pressed', 'false');
  for (const pressed of ['true', 'false']) {
    await mic(ada).click();
    await expect(mic(ada)).toHaveAttribute('aria-pressed', pressed);
  }
  await keyboard.down('Space');
  await expect(mic(ada)).toHaveAttribute('aria-pressed', 'true');
  await page.evaluate(() => window.dispatchEvent(new Event('blur')));
  await expect(mic(ada)).toHaveAttribute('aria-pressed', 'false');
  await keyboard.up('Space');
  await keyboard.press('Tab');
  await keyboard.press('Shift+Tab');
  await expect(mic(ada)).toBeFocused();
  await keyboard.press('Space');
  await expect(mic(ada)).toHaveAttribute('aria-pressed', 'true');
  await keyboard.press('Space');
  await expect(mic(ada)).toHaveAttribute('aria-pressed', 'false');

  // The list contains each key once, and the switch.
  await expect(ada.button('chat')).toHaveAttribute('title', 'Show chat (C)');
  await keyboard.press('?');
  const list = page.getByRole('dialog');
  await expect(list.locator('dl')).not.toContainText('(');
  await list.getByRole('checkbox').uncheck();
  await expect(list.locator('dl')).toHaveCount(0);
  await keyboard.press('Escape');
  await expect(ada.button('chat')).toHaveAttribute('title', 'Show chat');
  await expect(page.locator('[aria-keyshortcuts]')).toHaveCount(0);
  await page.reload();
  await expect(ada.ownTile).toBeVisible();
  await page.evaluate(() => document.activeElement.blur());
  await keyboard.press('c');
  await keyboard.down('Space');
  await keyboard.up('Space');
  await ada.button('more').click();
  await ada.button('shortcuts').click();
  await expect(panel(ada)).toHaveCount(0);
  await expect(mic(ada)).toHaveAttribute('aria-pressed', 'false');
  await list.getByRole('checkbox').check();
  await keyboard.press('Escape');
  await keyboard.press('c');
  await expect(panel(ada)).toBeVisible();

  // A touch screen shows no keys.
  const grace = await person('Grace', {
    hasTouch: true,
    isMobile: true,
    viewport: { width: 390, height: 844 },
  });
  await grace.join(server.url, 'keys', { video: false });
  await expect(grace.button('chat')).toHaveAttribute('title', 'Show chat');
  await grace.button('more').click();
  await expect(grace.button('record')).toBeVisible();
  await expect(grace.page.locator('kbd, [aria-keyshortcuts], [data-action=shortcuts]')).toHaveCount(0);
});
