// Browsers that lack a feature: it is replaced or there is a message, but never an empty page.

import { expect, test } from './lib/test.js';

/** Removes features that browsers got only in recent years, or that only some of them have. */
function withoutFeatures() {
  delete Intl.Segmenter;
  delete URL.canParse;
  delete URL.parse;
  delete AbortSignal.timeout;
  delete window.BroadcastChannel;
  delete Navigator.prototype.wakeLock;
  delete Navigator.prototype.locks;
  delete Navigator.prototype.userActivation;
  delete Document.prototype.exitPictureInPicture;
  delete Document.prototype.pictureInPictureEnabled;
  delete HTMLMediaElement.prototype.setSinkId;
  delete MediaDevices.prototype.getDisplayMedia;
  delete RTCDtlsTransport.prototype.getRemoteCertificates;
  delete window.showSaveFilePicker;
}

/** Removes popover support, including the attribute. */
function withoutPopovers() {
  for (const name of ['popover', 'showPopover', 'hidePopover', 'togglePopover'])
    delete HTMLElement.prototype[name];
  const { setAttribute } = Element.prototype;
  Element.prototype.setAttribute = function (name, value) {
    if (name !== 'popover') setAttribute.call(this, name, value);
  };
}

async function enter(person, server) {
  await person.page.goto(server.url);
  await person.button('create').click();
  await person.page.locator('input[name=name]').fill(person.name);
  await person.button('join').click();
  await expect(person.ownTile).toBeVisible();
}

test('a meeting works without what browsers learned late', async ({ person, server }) => {
  const ada = await person('Ada');
  const errors = [];
  ada.page.on('pageerror', (error) => errors.push(error));
  await ada.page.addInitScript(withoutFeatures);
  await enter(ada, server);
  await ada.button('camera').click();
  await expect(ada.ownTile.locator('.avatar')).toHaveText('A');
  await ada.button('people').click();
  await expect(ada.page.locator('[data-panel=people]')).toBeVisible();
  await ada.button('chat').click();
  await ada.page.locator('[data-panel=chat] textarea').fill('hello');
  await ada.page.keyboard.press('Enter');
  await expect(ada.page.locator('[data-entry=text]')).toContainText('hello');
  expect(errors).toEqual([]);
});

test('menus open and close in browsers without popovers', async ({ person, server }) => {
  const ada = await person('Ada');
  await ada.page.addInitScript(withoutPopovers);
  await enter(ada, server);
  const item = ada.button('hide-self');
  await expect(item).toBeHidden();
  await ada.button('more').click();
  await expect(item).toBeVisible();
  await ada.page.keyboard.press('Escape');
  await expect(item).toBeHidden();
  await ada.button('more').click();
  await ada.button('react').click();
  await expect(item).toBeHidden();
  await ada.page.locator('[data-reaction]').first().click();
  await expect(ada.page.locator('[data-reaction]').first()).toBeVisible();
  await ada.page.locator('h1').click();
  await expect(ada.page.locator('[data-reaction]').first()).toBeHidden();
  // Escape closes a panel only if nothing is open within it.
  await ada.button('people').click();
  await ada.page.locator('[data-panel=people]').press('Escape');
  await expect(ada.page.locator('[data-panel=people]')).toHaveCount(0);
});

test('a browser that cannot run the page at all is told so', async ({ person, server }) => {
  for (const [path, sentence, prepare] of [
    ['', 'Use a current', ({ page }) => page.addInitScript(() => delete window.Proxy)],
    ['r/none', 'Use a current', ({ page }) => page.addInitScript(() => delete window.Proxy)],
    // Code that is loaded later does not run.
    [
      'r/none',
      'could not be loaded',
      ({ page }) =>
        page.route(/\/assets\/room-[^/]*\.js$/, (route) =>
          route.fulfill({ contentType: 'text/javascript', body: 'throw new TypeError("no such feature");' }),
        ),
    ],
  ]) {
    const ada = await person('Ada');
    await prepare(ada);
    await ada.page.goto(`${server.url}${path}`);
    await expect(ada.page.getByRole('alert')).toContainText(sentence);
    await expect(ada.page.getByRole('alert')).toContainText(/本页|页面/);
  }
});

/** Emulates a browser's page translation: replaces each text node with elements that contain another text. */
function translate() {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  for (const node of nodes) {
    if (node.data.trim() === '' || node.parentElement.closest('[translate=no], script, noscript, style')) continue;
    const [outer, inner] = [document.createElement('font'), document.createElement('font')];
    inner.textContent = `«${node.data}»`;
    outer.append(inner);
    node.replaceWith(outer);
  }
}

/**
 * Returns visible texts of this kind that were translated and not updated by the page. Screen reader announcements
 * are exempt.
 */
const stale = async (person, kind) => {
  const translated = await person.page.evaluate(() =>
    [...document.querySelectorAll('#app font font')]
      .filter((font) => font.checkVisibility() && !font.closest('.unseen[role=status]'))
      .map((font) => font.textContent),
  );
  return translated.filter((text) => kind.test(text));
};

test('in a translated page, texts that change are not stale', async ({ join, person, server }) => {
  const ada = await person('Ada');
  await ada.page.goto(`${server.url}r/translated?name=Ada`);
  await expect(ada.button('join')).toHaveText('Join meeting');
  await ada.page.evaluate(translate);
  await ada.button('language').click();
  await expect(ada.button('join')).toHaveText('加入会议');
  expect(await stale(ada, /[a-z]{3}/i)).toEqual([]);
  await ada.button('join').click();
  await expect(ada.ownTile).toBeVisible();
  await ada.page.evaluate(translate);

  const grace = await join('Grace', 'translated');
  await expect(ada.button('people').locator('.unseen').first()).toHaveText('2 人');
  await ada.button('mic').click();
  await expect(ada.button('mic')).toHaveAttribute('title', /打开麦克风/);
  await ada.button('more').click();
  await ada.page.evaluate(translate);
  await ada.button('record').click();
  await ada.button('cancel').click();
  await ada.button('language').click();
  await expect(ada.button('leave')).toHaveText('Leave');
  expect(await stale(ada, /[\u4e00-\u9fff]/)).toEqual([]);
  await grace.button('leave').click();
  await expect(ada.button('people').locator('.unseen').first()).toHaveText('1 person');
});
