// Everyone is fully visible, on phones and desktops.

import { WebSocket } from 'ws';
import { expect, test } from './lib/test.js';

const SIZES = [
  { width: 1280, height: 800 },
  { width: 390, height: 844 },
  { width: 844, height: 390 },
  // 400 % zoom of 1280 pixels (WCAG 1.4.10).
  { width: 320, height: 568 },
];

/** Returns elements of the room that are clipped, hidden or covered, and whether anything scrolls. */
function misfits() {
  const wrong = [];
  const { scrollingElement } = document;
  if (scrollingElement.scrollHeight > innerHeight) wrong.push('the page scrolls down');
  if (scrollingElement.scrollWidth > innerWidth) wrong.push('the page scrolls aside');
  const boxes = [];
  for (const element of document.querySelectorAll('[data-peer-id], [data-self], [data-action]')) {
    // Skip actions that a narrow bar moves to a menu, and a closed menu.
    if (!element.checkVisibility()) continue;
    const what = element.getAttribute('aria-label') ?? element.dataset.action;
    const box = element.getBoundingClientRect();
    if (box.width < 40 || box.height < 40) wrong.push(`${what} is ${box.width}×${box.height}`);
    // Allow half a pixel for rounding.
    for (let inside = element.parentElement; inside; inside = inside.parentElement) {
      const clips = inside === document.documentElement || getComputedStyle(inside).overflow !== 'visible';
      const frame =
        inside === document.documentElement
          ? new DOMRect(0, 0, innerWidth, innerHeight)
          : inside.getBoundingClientRect();
      const out =
        box.left < frame.left - 0.5 ||
        box.top < frame.top - 0.5 ||
        box.right > frame.right + 0.5 ||
        box.bottom > frame.bottom + 0.5;
      if (clips && out) wrong.push(`${what} is cut by ${inside.tagName}.${inside.className}`);
    }
    const name = element.querySelector('.name');
    // A name is legible: entire, or with more than a few letters.
    const letters = name?.querySelector('.letters');
    if (letters?.checkVisibility() && letters.clientWidth < Math.min(letters.scrollWidth, 40))
      wrong.push(`the name of ${what} has ${letters.clientWidth} pixels`);
    for (const [other, beside, parent] of boxes) {
      if (parent.contains(element)) continue;
      // The inset of a call of two overlaps the other tile.
      const under = [element, parent].filter((one) => !one.closest('[data-inset]'));
      if (under.length === 0 || (under.length === 1 && under[0].matches('[data-peer-id]'))) continue;
      const apart =
        box.left >= beside.right - 0.5 ||
        beside.left >= box.right - 0.5 ||
        box.top >= beside.bottom - 0.5 ||
        beside.top >= box.bottom - 0.5;
      if (!apart) wrong.push(`${what} covers ${other}`);
    }
    boxes.push([what, box, element]);
  }
  return wrong;
}

/** Returns the names on the tiles of the visible page. */
const visibleNames = ({ page }) =>
  page
    .locator('[data-peer-id]:visible, [data-self]:visible')
    .evaluateAll((tiles) => tiles.map((tile) => tile.getAttribute('aria-label')));

/** Joins a member without a browser. */
function guest({ url }, name, room = 'fit') {
  const address = new URL(`signal-api/ws?room=${room}`, url);
  address.protocol = 'ws:';
  const socket = new WebSocket(address);
  socket.on('open', () => socket.send(JSON.stringify({ type: 'join', name })));
  return socket;
}

test('rooms of 1, 2, 4, 12 and 16 fit without scrolling, from 13 tiles on in pages', async ({
  join,
  server,
}) => {
  const guests = [];
  const ada = await join('Ada', 'fit', { video: false });
  await expect(ada.ownTile).toBeVisible();
  let people = 1;
  for (const count of [1, 2, 4, 12, 16]) {
    for (; people < count; people++) {
      // Sixteen browsers are more than the machine can run; a member without a call has a tile, too.
      if (people < 4) await join(`Guest ${people}`, 'fit', { video: false });
      else guests.push(guest(server, `Guest ${people}`));
    }
    await expect(ada.tiles).toHaveCount(count - 1);
    for (const size of SIZES) {
      await ada.page.setViewportSize(size);
      const where = `${count} in ${size.width}×${size.height}`;
      await expect.poll(() => ada.page.evaluate(misfits), { message: where }).toEqual([]);
      await expect(ada.button('hand')).toBeVisible();
      if (size.width >= 390) await expect(ada.button('next-page')).toHaveCount(count > 12 ? 1 : 0);
    }
  }

  await ada.page.setViewportSize(SIZES[0]);
  await expect.poll(() => visibleNames(ada)).toHaveLength(12);
  const first = await visibleNames(ada);
  await ada.button('next-page').click();
  await expect.poll(() => visibleNames(ada)).toHaveLength(4);
  const all = new Set([...first, ...(await visibleNames(ada))]);
  expect(all.size).toBe(16);
  await expect(ada.button('next-page')).toBeDisabled();
  await ada.button('previous-page').click();
  await expect.poll(() => visibleNames(ada)).toEqual(first);

  // A pinned tile stays on every page, and the tiles in the strip have legible names.
  const name = first.at(-1);
  await ada.tile(name).hover();
  await ada
    .tile(name)
    .getByRole('button', { name: `Pin ${name}` })
    .click();
  for (const size of SIZES) {
    await ada.page.setViewportSize(size);
    await expect.poll(() => ada.page.evaluate(misfits), { message: `strip at ${size.width}` }).toEqual([]);
    await expect(ada.tile(name)).toBeVisible();
    await ada.button('next-page').click();
    await expect(ada.tile(name)).toBeVisible();
    await ada.button('previous-page').click();
  }
  for (const socket of guests) socket.close();
});

test('a call of two: the local video is a movable inset, nothing is pinned, hands are seen', async ({
  person,
  server,
}) => {
  const ada = await person('Ada', { viewport: { width: 390, height: 844 } });
  await ada.join(server.url, 'two', { video: false });
  // A single tile cannot be pinned, and overscrolling does not reload the page.
  await expect(ada.button('pin')).toHaveCount(0);
  const overscroll = () => getComputedStyle(document.documentElement).overscrollBehaviorY;
  expect(await ada.page.evaluate(overscroll)).toBe('none');
  await expect(ada.page.getByRole('timer')).toHaveText(/^0:\d\d$/);

  const grace = await person('Grace');
  await grace.join(server.url, 'two', { video: false });
  await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
  const inset = ada.page.locator('[data-inset]');
  const box = (locator) => locator.boundingBox();
  const corner = async () => {
    const [own, other] = [await box(inset), await box(ada.tile('Grace'))];
    const beside = own.x + own.width / 2 > other.x + other.width / 2 ? 'right' : 'left';
    return `${own.y + own.height / 2 > other.y + other.height / 2 ? 'bottom' : 'top'} ${beside}`;
  };
  await expect(ada.ownTile).toBeInViewport({ ratio: 1 });
  await expect(ada.button('pin')).toHaveCount(0);
  expect((await box(ada.tile('Grace'))).width).toBeGreaterThan(360);
  await expect.poll(corner).toBe('top right');
  await ada.button('move-self').focus();
  await ada.page.keyboard.press('Enter');
  await expect.poll(corner).toBe('bottom right');
  const { x, y, width, height } = await box(inset);
  await ada.page.mouse.move(x + width / 2, y + height / 2);
  await ada.page.mouse.down();
  await ada.page.mouse.move(x - 150, y + height / 2 - 300, { steps: 5 });
  await ada.page.mouse.up();
  await expect.poll(corner).toBe('top left');

  // With a third member all tiles are equal, and the pin button, which appears under the pointer, does not cover the
  // hand.
  const alan = guest(server, 'Alan', 'two');
  await expect(inset).toHaveCount(0);
  await grace.page.keyboard.press('h');
  const hand = ada.tile('Grace').getByRole('img', { name: 'Hand raised' });
  await ada.tile('Grace').hover();
  await expect(hand).toBeVisible();
  const onTop = (element) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return element.contains(document.elementFromPoint(x + width / 2, y + height / 2));
  };
  expect(await hand.evaluate(onTop)).toBe(true);

  // A panel that covers the stage leaves no edge of a tile visible.
  await ada.button('people').click();
  await expect(ada.page.locator('[data-panel=people]')).toBeVisible();
  await expect(ada.tile('Grace')).toBeHidden();
  await ada.button('close-panel').click();
  await expect(ada.tile('Grace')).toBeVisible();
  alan.close();
});
