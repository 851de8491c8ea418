// Processing of the user's own sound and picture: noise suppression by the page, and background blur by the system.

import { expect, test } from './lib/test.js';

/** A microphone with the steady, low noise of a fan. RNNoise was not trained with white noise and may let it pass. */
function noisyMicrophone() {
  navigator.mediaDevices.getUserMedia = ((ask) => async (constraints) => {
    if (!constraints.audio) return ask.call(navigator.mediaDevices, constraints);
    const context = new AudioContext();
    const buffer = context.createBuffer(1, 2 * context.sampleRate, context.sampleRate);
    const samples = buffer.getChannelData(0);
    for (let at = 1; at < samples.length; at++) samples[at] = 0.98 * samples[at - 1] + (Math.random() - 0.5) * 0.02;
    const noise = new AudioBufferSourceNode(context, { buffer, loop: true });
    const end = new MediaStreamAudioDestinationNode(context);
    noise.connect(end);
    noise.start();
    return end.stream;
  })(navigator.mediaDevices.getUserMedia);
}

/** Returns the volume that a page sends, as measured by the browser at its sender over a second. */
const sentLoudness = ({ page }) =>
  page.evaluate(async () => {
    const measure = async () => {
      const stats = await window.probe.connections[0].getSenders()[0].getStats();
      const source = [...stats.values()].find(({ type, kind }) => type === 'media-source' && kind === 'audio');
      return [source.totalAudioEnergy, source.totalSamplesDuration];
    };
    const [energy, seconds] = await measure();
    let now = [energy, seconds];
    while (now[1] < seconds + 1) {
      await new Promise(requestAnimationFrame);
      now = await measure();
    }
    return Math.sqrt((now[0] - energy) / (now[1] - seconds));
  });

test('a noise is hardly heard any more, by code of this server alone, and the choice is remembered', async ({
  person,
  server,
}) => {
  const ada = await person('Ada');
  const foreign = [];
  ada.page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol.startsWith('http') && origin !== new URL(server.url).origin) foreign.push(request.url());
  });
  await ada.page.addInitScript(noisyMicrophone);
  await ada.join(server.url, 'noise', { audio: true, video: false });
  const grace = await person('Grace');
  await grace.join(server.url, 'noise', { video: false });
  await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
  const loud = await sentLoudness(ada);
  expect(loud).toBeGreaterThan(0.01);

  await ada.button('more').click();
  await ada.button('devices').click();
  await expect(ada.button('noise')).not.toBeChecked();
  await ada.button('noise').check();
  await expect(ada.button('noise')).toHaveAttribute('aria-busy', 'false');
  await expect.poll(() => sentLoudness(ada)).toBeLessThan(loud / 3);
  // Muting is silent, also behind the filter.
  await ada.page.keyboard.press('Escape');
  await ada.button('mic').click();
  await expect.poll(() => sentLoudness(ada)).toBeLessThan(1e-4);
  await ada.button('mic').click();
  expect(foreign).toEqual([]);
  expect(await ada.page.evaluate(() => window.probe.violations)).toEqual([]);

  await ada.page.reload();
  await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
  await expect.poll(() => sentLoudness(ada)).toBeLessThan(loud / 3);
  await ada.button('more').click();
  await ada.button('devices').click();
  await ada.button('noise').uncheck();
  await expect.poll(() => sentLoudness(ada)).toBeGreaterThan(loud / 2);
});

test('where the browser cannot, it says so and sends the sound as it is', async ({ person, server }) => {
  const ada = await person('Ada');
  await ada.page.addInitScript(() => {
    window.AudioWorkletNode = class {
      constructor() {
        throw new Error('no worklets');
      }
    };
  });
  await ada.join(server.url, 'noise', { audio: true, video: false });
  await ada.button('more').click();
  await ada.button('devices').click();
  await ada.button('noise').click();
  await expect(ada.failure('effect_failed')).toContainText('could not be started');
  await expect(ada.button('noise')).not.toBeChecked();
});

test('background blur is the system’s, and is offered where the camera has a choice', async ({ person, server }) => {
  const ada = await person('Ada');
  await ada.page.addInitScript(() => {
    const { getCapabilities, applyConstraints, getSettings } = MediaStreamTrack.prototype;
    window.applied = [];
    let backgroundBlur = false;
    Object.assign(MediaStreamTrack.prototype, {
      getCapabilities() {
        return { ...getCapabilities.call(this), backgroundBlur: [true, false] };
      },
      getSettings() {
        return { ...getSettings.call(this), backgroundBlur };
      },
      applyConstraints(constraints) {
        window.applied.push(constraints);
        backgroundBlur = constraints.backgroundBlur ?? backgroundBlur;
        return applyConstraints.call(this, constraints);
      },
    });
  });
  await ada.join(server.url, 'blur');
  await ada.button('more').click();
  await ada.button('devices').click();
  await expect(ada.button('blur')).not.toBeChecked();
  await ada.button('blur').check();
  const last = () => ada.page.evaluate(() => window.applied.at(-1)?.backgroundBlur);
  await expect.poll(last).toBe(true);
  await ada.page.keyboard.press('Escape');
  await ada.button('more').click();
  await ada.button('devices').click();
  await expect(ada.button('blur')).toBeChecked();
  await ada.button('blur').uncheck();
  await expect.poll(last).toBe(false);

  const grace = await person('Grace');
  await grace.join(server.url, 'blur');
  await grace.button('more').click();
  await grace.button('devices').click();
  await expect(grace.button('noise')).toBeVisible();
  await expect(grace.button('blur')).toHaveCount(0);
});
