// The bitrate per person decreases as people join, so that the uplink suffices for all.

import { expect, expectPictures, test } from './lib/test.js';

/** Maximum total bitrate of all copies. */
const UPLINK = 3_500_000;

/** Returns the browser's parameters of each video and audio that a page sends, except on closed connections. */
function sending({ page }) {
  return page.evaluate(() =>
    window.probe.connections
      .filter(({ connectionState }) => connectionState === 'connected')
      .map((pc) => {
        const [mic, camera] = pc.getSenders().map((sender) => sender.getParameters().encodings[0]);
        return {
          voice: mic.maxBitrate,
          priority: mic.priority,
          camera: camera.maxBitrate,
        };
      }),
  );
}

test('six people: each copy of the camera shrinks as they come, and grows as they leave', { tag: '@alone' }, async ({
  join,
}) => {
  const ada = await join('Ada', 'crowd');
  const grace = await join('Grace', 'crowd', { video: false });
  await expect.poll(() => sending(ada)).toEqual([{ voice: 40_000, priority: 'high', camera: 1_500_000 }]);

  const others = [];
  for (const name of ['Alan', 'Barbara', 'Edsger', 'Tony']) {
    others.push(await join(name, 'crowd', { video: false }));
  }
  const [five, each] = [5, UPLINK / 5];
  await expect
    .poll(async () => (await sending(ada)).filter(({ camera }) => camera < each * 0.9).length)
    .toBe(five);
  const sum = async () =>
    (await sending(ada)).reduce((total, { voice, camera }) => total + voice + camera, 0);
  expect(await sum()).toBeLessThanOrEqual(UPLINK);
  // Browsers differ in how fast they estimate the bandwidth.
  await expect.poll(sum).toBeGreaterThan(UPLINK / 2);
  expect(await sum()).toBeLessThanOrEqual(UPLINK);
  await expectPictures(grace, 'Ada');

  for (const other of others) await other.button('leave').click();
  await expect
    .poll(() => sending(ada), { timeout: 40_000 })
    .toEqual([{ voice: 40_000, priority: 'high', camera: 1_500_000 }]);
});
