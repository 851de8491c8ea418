// Everyone is in the picture, whole, on a phone and on a desk.

import { WebSocket } from 'ws';
import { expect, test } from './lib/test.js';

const SIZES = [
  { width: 1280, height: 800 },
  { width: 390, height: 844 },
  { width: 844, height: 390 },
];

/** What of the room is cut, hidden or covered; and whether anything scrolls. */
function misfits() {
  const wrong = [];
  const { scrollingElement } = document;
  if (scrollingElement.scrollHeight > innerHeight) wrong.push('the page scrolls down');
  if (scrollingElement.scrollWidth > innerWidth) wrong.push('the page scrolls aside');
  const boxes = [];
  for (const element of document.querySelectorAll('[data-peer-id], [data-self], [data-action]')) {
    // What a narrow bar leaves to a menu, and a menu that is closed.
    if (!element.checkVisibility()) continue;
    const what = element.getAttribute('aria-label') ?? element.dataset.action;
    const box = element.getBoundingClientRect();
    if (box.width < 40 || box.height < 40) wrong.push(`${what} is ${box.width}×${box.height}`);
    // Half a pixel is what rounding may take.
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
    for (const [other, beside, parent] of boxes) {
      if (parent.contains(element)) continue;
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

/** Somebody who is in the room and has no browser. */
function guest({ url }, name) {
  const address = new URL('signal-api/ws?room=fit', url);
  address.protocol = 'ws:';
  const socket = new WebSocket(address);
  socket.on('open', () => socket.send(JSON.stringify({ type: 'join', name })));
  return socket;
}

test('rooms of 1, 2, 4, 9 and 16 fit without scrolling', async ({ join, server }) => {
  const guests = [];
  const ada = await join('Ada', 'fit', { video: false });
  await expect(ada.ownTile).toBeVisible();
  let people = 1;
  for (const count of [1, 2, 4, 9, 16]) {
    for (; people < count; people++) {
      // Sixteen browsers are more than the machine has; a tile is a tile without a call, too.
      if (people < 4) await join(`Guest ${people}`, 'fit', { video: false });
      else guests.push(guest(server, `Guest ${people}`));
    }
    await expect(ada.tiles).toHaveCount(count - 1);
    for (const size of SIZES) {
      await ada.page.setViewportSize(size);
      const where = `${count} in ${size.width}×${size.height}`;
      await expect.poll(() => ada.page.evaluate(misfits), { message: where }).toEqual([]);
    }
  }
  for (const socket of guests) socket.close();
});
