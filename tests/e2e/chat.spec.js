// Chat and files, which bypass the server.

import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { expect, expectAllSeen, expectPictures, test } from './lib/test.js';

const SIZE = 20 * 1024 * 1024;

const message = (person) => person.page.getByRole('textbox', { name: 'Message' });
const log = (person) => person.page.getByRole('log');
const entries = (person, kind) => log(person).locator(`[data-entry="${kind}"]`);
const file = (person) => entries(person, 'file').last();
const transfer = (person, state) => file(person).locator(`[data-transfer="${state}"]`);
const badge = (person) => person.page.locator('[data-unread]');

async function open(...people) {
  for (const { page, button } of people.map((person) => ({
    page: person.page,
    button: person.button('chat'),
  }))) {
    await button.click();
    await expect(page.locator('[data-panel="chat"] textarea')).toBeFocused();
  }
}

async function say(person, text) {
  await message(person).fill(text);
  await message(person).press('Enter');
}

/** Makes a page keep files in memory, as in browsers that cannot write to disk. */
const withoutPicker = () => delete window.showSaveFilePicker;

/** Makes a page's save dialog return a location of its own, since a headless browser has no dialogs. */
const withPlace = () => {
  window.showSaveFilePicker = async ({ suggestedName }) => {
    const folder = await navigator.storage.getDirectory();
    return folder.getFileHandle(suggestedName, { create: true });
  };
};

async function sha256(stream) {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest('hex');
}

/** Creates a file on disk, which Playwright needs to give a page large files. */
async function newFile(testInfo, name, size) {
  const path = testInfo.outputPath(name);
  await writeFile(path, randomBytes(size));
  return { path, hash: await sha256(createReadStream(path)) };
}

/** Joins two people in a room, with open chats. */
async function pair(join, person, server, room, script = withoutPicker) {
  const ada = await join('Ada', room);
  const grace = await person('Grace');
  await grace.page.addInitScript(script);
  await grace.join(server.url, room);
  await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
  await expect(grace.tile('Ada')).toHaveAttribute('data-link', 'connected');
  await open(ada, grace);
  return [ada, grace];
}

const attach = (person, path) => person.page.locator('input[type=file]').setInputFiles(path);

test(
  'three people write to all and to one; what is not read is counted',
  { tag: '@stack' },
  async ({ join }) => {
    const [ada, grace] = [await join('Ada', 'chat'), await join('Grace', 'chat')];
    await expectAllSeen([ada, grace]);
    await open(ada);
    await expect(log(ada)).toContainText('No messages yet');
    await say(ada, 'before Alan');
    await expect(badge(grace)).toHaveText('1');

    const alan = await join('Alan', 'chat');
    await expectAllSeen([ada, grace, alan]);
    await say(ada, 'hello <b>all</b>\nsee https://example.org/a?b=1, please');
    for (const [person, count] of [
      [grace, '2'],
      [alan, '1'],
    ]) {
      await expect(badge(person)).toHaveText(count);
      await expect(person.page.locator('[data-news]')).toContainText('Ada: hello <b>all</b>');
    }
    await open(grace, alan);
    await expect(badge(grace)).toHaveCount(0);
    await expect(entries(grace, 'text')).toHaveCount(2);
    // A later member does not see earlier messages.
    await expect(entries(alan, 'text')).toHaveCount(1);
    await expect(entries(alan, 'text')).toContainText('hello <b>all</b>');

    const link = log(alan).getByRole('link');
    await expect(link).toHaveText('https://example.org/a?b=1');
    await expect(link).toHaveAttribute('href', 'https://example.org/a?b=1');
    await expect(link).toHaveAttribute('rel', 'noopener noreferrer');
    await expect(link).toHaveAttribute('target', '_blank');

    await say(grace, '大家好');
    await say(alan, 'good morning');
    for (const person of [ada, grace, alan]) {
      await expect(log(person)).toContainText('大家好');
      await expect(log(person)).toContainText('good morning');
    }

    await grace.page.locator('select[name=to]').selectOption({ label: 'Alan' });
    await say(grace, 'between us');
    await expect(entries(alan, 'text').last()).toContainText('Only to you');
    await say(alan, 'to everyone again');
    await expect(log(ada)).toContainText('to everyone again');
    await expect(log(ada)).not.toContainText('between us');

    // It took no additional negotiation.
    expect(ada.offers + grace.offers + alan.offers).toBe(3);
  },
);

test(
  'a file of 20 MB arrives whole, in memory, while the pictures go on',
  { tag: '@stack' },
  async ({ join, person, server }, testInfo) => {
    const [ada, grace] = await pair(join, person, server, 'file');
    const { path, hash } = await newFile(testInfo, '季度 report.bin', SIZE);
    await attach(ada, path);
    await expect(file(grace)).toContainText('季度 report.bin');
    await expect(file(grace)).toContainText('21 MB');
    await expect(transfer(ada, 'offered')).toContainText('Grace');

    const download = grace.page.waitForEvent('download');
    await file(grace).getByRole('button', { name: 'Save' }).click();
    await expect(file(grace).getByRole('progressbar')).toBeVisible();
    await say(ada, 'on its way');
    await expect(log(grace)).toContainText('on its way');
    await expectPictures(grace, 'Ada');
    await expect(transfer(ada, 'done')).toBeVisible({ timeout: 60_000 });
    await expect(transfer(grace, 'done')).toBeVisible();

    const saved = await download;
    expect(saved.suggestedFilename()).toBe('季度 report.bin');
    expect(await sha256(await saved.createReadStream())).toBe(hash);
  },
);

test('two files at once are written to the disk as they come, and arrive whole', async ({
  join,
  person,
  server,
}, testInfo) => {
  const [ada, grace] = await pair(join, person, server, 'disk', withPlace);
  const files = {};
  for (const name of ['one.bin', 'two.bin']) files[name] = await newFile(testInfo, name, 3 * 1024 * 1024 + 5);
  await attach(
    ada,
    Object.values(files).map(({ path }) => path),
  );
  await expect(entries(grace, 'file')).toHaveCount(2);
  for (const entry of await entries(grace, 'file').all())
    await entry.getByRole('button', { name: 'Save' }).click();
  await expect(log(grace).locator('[data-transfer="done"]')).toHaveCount(2, {
    timeout: 60_000,
  });
  await expect(log(ada).locator('[data-transfer="done"]')).toHaveCount(2);

  for (const [name, { hash }] of Object.entries(files)) {
    const saved = await grace.page.evaluate(async (name) => {
      const folder = await navigator.storage.getDirectory();
      const file = await (await folder.getFileHandle(name)).getFile();
      const digest = await crypto.subtle.digest('SHA-256', await file.arrayBuffer());
      return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
    }, name);
    expect(saved).toBe(hash);
  }
});

test('a file is declined, stopped by its receiver, and stopped by its sender', async ({
  join,
  person,
  server,
}, testInfo) => {
  const [ada, grace] = await pair(join, person, server, 'cancel');
  const { path } = await newFile(testInfo, 'large.bin', 200 * 1024 * 1024);
  const stop = (who, name) => file(who).getByRole('button', { name }).click();

  await attach(ada, path);
  await stop(grace, 'Decline');
  await expect(transfer(ada, 'refused')).toBeVisible();
  await expect(transfer(grace, 'refused')).toBeVisible();

  for (const [who, name, state] of [
    [grace, 'Cancel', 'refused'],
    [ada, 'Cancel', 'withdrawn'],
  ]) {
    const count = await entries(grace, 'file').count();
    await attach(ada, path);
    await expect(entries(grace, 'file')).toHaveCount(count + 1);
    await file(grace).getByRole('button', { name: 'Save' }).click();
    await expect(transfer(ada, 'moving')).toContainText(/[1-9]\d?%/);
    await stop(who, name);
    await expect(transfer(ada, state)).toBeVisible();
    await expect(transfer(grace, state)).toBeVisible();
  }
  await say(ada, 'never mind');
  await expect(log(grace)).toContainText('never mind');

  // A member who leaves during a transfer is reported in plain words.
  await attach(ada, path);
  await file(grace).getByRole('button', { name: 'Save' }).click();
  await expect(transfer(ada, 'moving')).toBeVisible();
  await grace.page.close();
  await expect(transfer(ada, 'lost')).toContainText('Connection lost, send it again');
});

test('what a mean peer sends is ignored, and what is said after it is heard', async ({ join, person }) => {
  const ada = await join('Ada', 'mean');
  const mallory = await person('Mallory');
  // The test controls her channel.
  await mallory.page.addInitScript(() => {
    const create = RTCPeerConnection.prototype.createDataChannel;
    RTCPeerConnection.prototype.createDataChannel = function (...args) {
      window.channel = create.apply(this, args);
      return window.channel;
    };
  });
  await mallory.join(new URL('/', ada.page.url()).href, 'mean');
  await expect(mallory.tile('Ada')).toHaveAttribute('data-link', 'connected');
  await open(ada);
  await mallory.page.evaluate(() => {
    const send = (value) => window.channel.send(typeof value === 'object' ? JSON.stringify(value) : value);
    for (const text of ['', '{', 'null', '[]', 'x'.repeat(200_000)]) send(text);
    send({ type: 'text', id: 1, text: 'too long '.repeat(1000) });
    send({ type: 'text', id: '2', text: 'no number' });
    send({ type: 'text', id: 3, text: { toString: 'no text' } });
    send({ type: 'offer', id: 4, name: 'huge.bin', size: 1e15 });
    for (let id = 5; id < 40; id++)
      send({
        type: 'offer',
        id,
        name: '../../x\u202egpj.exe',
        size: 5,
      });
    send({ type: 'accept', id: 99 });
    send({ type: 'got', id: 99, bytes: 5 });
    window.channel.send(new Uint8Array(100_000));
    window.channel.send(new Uint8Array([0, 0, 0, 5, 1, 2, 3]));
    send({
      type: 'text',
      id: 100,
      text: '<img src=x onerror="document.title=1"> https://a@evil.example/',
    });
  });
  await expect(log(ada)).toContainText('<img src=x');
  await expect(entries(ada, 'text')).toHaveCount(1);
  await expect(log(ada).getByRole('link')).toHaveCount(0);
  await expect(entries(ada, 'file')).toHaveCount(16);
  await expect(file(ada)).toContainText('_.._x_gpj.exe');
  await expect(log(ada).locator('[data-transfer="offered"]')).toHaveCount(16);
  await say(ada, 'still well');
  await expect(badge(mallory)).toHaveText('1');
});

test('by keyboard alone: open, write, send a file, close', async ({ join }, testInfo) => {
  const [ada, grace] = [await join('Ada', 'keys'), await join('Grace', 'keys')];
  await expectAllSeen([ada, grace]);
  const small = await newFile(testInfo, 'small.bin', 10);
  const { keyboard } = ada.page;
  // The browser passes the chooser to the test only while there is a listener. If added just before the key press,
  // the two may reach the page in either order.
  const chosen = ada.page.waitForEvent('filechooser').then((chooser) => chooser.setFiles(small.path));
  await ada.button('mic').focus();
  await keyboard.press('c');
  await expect(message(ada)).toBeFocused();
  // The letter that opened the chat was not typed, and letters are text now.
  await keyboard.type('mic stays, c too');
  await expect(message(ada)).toHaveValue('mic stays, c too');
  await keyboard.press('Shift+Enter');
  await keyboard.type('second line');
  await keyboard.press('Enter');
  await expect(entries(ada, 'text')).toContainText('second line');
  await expect(badge(grace)).toHaveText('1');

  await keyboard.press('Shift+Tab');
  await expect(ada.button('attach')).toBeFocused();
  await keyboard.press('Enter');
  await chosen;
  await expect(badge(grace)).toHaveText('2');
  await expect(transfer(ada, 'offered')).toBeVisible();

  await keyboard.press('Escape');
  await expect(ada.page.locator('[data-panel]')).toHaveCount(0);
  await expect(ada.button('mic')).toBeFocused();
});

test('files are dropped anywhere on the page, and pasted', async ({ join }) => {
  const [ada, grace] = [await join('Ada', 'drop'), await join('Grace', 'drop')];
  await expectAllSeen([ada, grace]);
  const given = (type, name, target) =>
    ada.page.evaluate(
      ([type, name, target]) => {
        const data = new DataTransfer();
        data.items.add(new File(['hello'], name, { type: 'text/plain' }));
        const options = { bubbles: true, cancelable: true };
        const event =
          type === 'paste'
            ? new ClipboardEvent(type, { ...options, clipboardData: data })
            : new DragEvent(type, { ...options, dataTransfer: data });
        document.querySelector(target).dispatchEvent(event);
        return event.defaultPrevented;
      },
      [type, name, target],
    );
  expect(await given('drop', 'dropped.txt', '[data-self]')).toBe(true);
  await expect(file(ada)).toContainText('dropped.txt');
  expect(await given('paste', 'pasted.png', '[data-panel] textarea')).toBe(true);
  await expect(file(ada)).toContainText('pasted.png');
  await open(grace);
  await expect(entries(grace, 'file')).toHaveCount(2);
});

test('what is pasted, dropped and typed in the chat; its log and counts over a reload and late', async ({
  join,
  person,
  server,
}) => {
  const quiet = { video: false };
  const ada = await person('Ada');
  // The server withholds the panel's code for a while.
  let isOut = true;
  await ada.page.route(/assets\/ChatPanel-.*\.js/, (route) => (isOut ? route.abort() : route.continue()));
  await ada.join(server.url, 'paste', quiet);
  await ada.button('chat').click();
  await expect(ada.page.locator('[data-part-late]')).toBeVisible();
  isOut = false;
  await expect(message(ada)).toBeVisible();
  await expect(ada.page.locator('[data-part-late]')).toHaveCount(0);

  const grace = await join('Grace', 'paste', quiet);
  await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
  await expect(grace.tile('Ada')).toHaveAttribute('data-link', 'connected');
  // Other panels are available without the server: they were prefetched.
  await expect
    .poll(() => grace.page.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name)))
    .toContainEqual(expect.stringContaining('PeoplePanel'));

  // A long link wraps.
  await message(ada).fill(`https://example.org/${'a'.repeat(200)}`);
  const width = async (locator) => (await locator.boundingBox()).width;
  expect(await width(message(ada))).toBeLessThan(await width(ada.page.locator('[data-panel]')));
  expect(await ada.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  await message(ada).fill('');

  // Dispatches a paste or a drop, and returns whether the browser would perform its default action.
  const give = (event, { text, files = [], folder }) =>
    ada.page.evaluate(
      ([type, text, files, folder]) => {
        const data = new DataTransfer();
        if (text) data.setData('text/plain', text);
        for (const [name, type] of files) data.items.add(new File(['x'], name, { type }));
        // A script cannot create a folder.
        if (folder) DataTransferItem.prototype.webkitGetAsEntry = () => ({ isDirectory: true, name: folder });
        const options = { bubbles: true, cancelable: true };
        const event =
          type === 'paste'
            ? new ClipboardEvent(type, { ...options, clipboardData: data })
            : new DragEvent(type, { ...options, dataTransfer: data });
        return document.querySelector('[data-panel] textarea').dispatchEvent(event);
      },
      [event, text, files, folder],
    );
  const picture = [['image.png', 'image/png']];
  expect(await give('paste', { text: 'A1\tB1', files: picture })).toBe(true);
  await ada.button('discard-pasted').click();
  await expect(ada.button('discard-pasted')).toHaveCount(0);
  await expect(entries(ada, 'file')).toHaveCount(0);
  expect(await give('paste', { files: picture })).toBe(false);
  await ada.button('send-pasted').click();
  await expect(file(ada)).toContainText('image.png');
  await give('drop', { files: [['photos', '']], folder: 'photos' });
  await expect(ada.page.getByRole('alert')).toContainText('“photos” is a folder');
  await expect(entries(ada, 'file')).toHaveCount(1);

  // The Enter that ends a composition in WebKit does not send.
  await message(ada).fill('你好');
  await message(ada).evaluate((field) =>
    field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229, bubbles: true })),
  );
  await expect(message(ada)).toHaveValue('你好');
  await message(ada).press('Enter');
  await expect(message(ada)).toHaveValue('');
  await expect(badge(grace)).toHaveText('2');
  await expect(grace.page).toHaveTitle('(2) paste · Roundtable');

  // A later member sees where the log starts; messages that arrive while the page is hidden stay unread.
  await open(grace);
  await expect(grace.page).toHaveTitle('paste · Roundtable');
  await expect(grace.page.locator('[data-log-start]')).toContainText('You joined at');
  await expect(ada.page.locator('[data-log-start]')).toHaveCount(0);
  const hide = (hidden) =>
    grace.page.evaluate((hidden) => {
      Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
  await hide(true);
  await say(ada, 'are you there?');
  await expect(grace.page).toHaveTitle('(1) paste · Roundtable');
  await hide(false);
  await expect(grace.page).toHaveTitle('paste · Roundtable');

  await grace.page.reload();
  await open(grace);
  await expect(entries(grace, 'text')).toHaveText([/你好/, /are you there\?/]);
  await expect(transfer(grace, 'lost')).toBeVisible();
  await expect(badge(grace)).toHaveCount(0);
  await expect(grace.page.locator('[data-log-start]')).toHaveCount(1);
  // Leaving on purpose deletes the log.
  await grace.button('leave').click();
  await grace.page.reload();
  await open(grace);
  await expect(entries(grace, 'text')).toHaveCount(0);
});
