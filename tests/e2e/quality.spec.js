// Link quality and its measurements.

import { readFile } from 'node:fs/promises';
import { expect, expectPictures, test } from './lib/test.js';

/** Opens the details about the link to a person. */
async function ask(person, other, about) {
  await person.tile(other).locator('[data-action=link]').click();
  await person.button(about).locator('visible=true').click();
  return person.page.locator(`[data-panel=${about}]`);
}

/** Returns the browser's counters for the link. */
function counted({ page }) {
  return page.evaluate(async () => {
    const reports = [...(await window.probe.connections[0].getStats()).values()];
    const sum = (type, name) =>
      reports
        .filter((report) => report.type === type)
        .reduce((total, report) => total + (report[name] ?? 0), 0);
    const { selectedCandidatePairId } = reports.find(({ type }) => type === 'transport');
    const pair = reports.find(({ id }) => id === selectedCandidatePairId);
    const candidate = (id) => reports.find((report) => report.id === id);
    const picture = reports.find(({ type, frameWidth }) => type === 'inbound-rtp' && frameWidth > 0);
    return {
      received: sum('inbound-rtp', 'bytesReceived'),
      sent: sum('outbound-rtp', 'bytesSent'),
      local: candidate(pair.localCandidateId).candidateType,
      remote: candidate(pair.remoteCandidateId).candidateType,
      protocol: candidate(pair.localCandidateId).protocol,
      codec: candidate(picture.codecId).mimeType,
    };
  });
}

test('bars show how good a link is, and say why', async ({ join }) => {
  const ada = await join('Ada', 'bars');
  await join('Grace', 'bars');
  const bars = ada.tile('Grace').locator('[data-action=link]');
  await expect(bars).toHaveAttribute('data-bars', /[123]/);

  // From now on the browser reports lost packets.
  await ada.page.evaluate(() => {
    const getStats = RTCPeerConnection.prototype.getStats;
    let lost = 0;
    RTCPeerConnection.prototype.getStats = async function (...args) {
      const reports = new Map(await getStats.apply(this, args));
      lost += 5_000;
      for (const [id, report] of reports) {
        if (report.type === 'inbound-rtp') reports.set(id, { ...report, packetsLost: lost });
      }
      return reports;
    };
  });
  await expect(bars).toHaveAttribute('data-bars', '1');
  await expect(bars).toHaveAttribute('data-reason', 'loss');
  await expect(bars).toHaveAccessibleName('Connection to Grace: Weak connection');
  await bars.press('Enter');
  await expect(ada.page.getByText('Packets are being lost.')).toBeVisible();
  await ada.page.keyboard.press('Escape');
  await expect(bars).toBeFocused();
});

test('statistics agree with getStats, and are saved as JSON', async ({ join }) => {
  const ada = await join('Ada', 'numbers', { audio: true });
  await join('Grace', 'numbers', { audio: true });
  await expectPictures(ada, 'Grace');
  const before = await counted(ada);
  const panel = await ask(ada, 'Grace', 'statistics');
  const row = (key) => panel.locator(`[data-row=${key}]`);
  await expect(row('bitrate')).toContainText(/\d+ kbit\/s.*[1-9]\d* kbit\/s/);
  await expect(row('picture')).toContainText(/\d+×\d+, \d+\/s/);
  await expect(panel.locator('canvas')).toHaveCount(3);

  let saved;
  await expect(async () => {
    const [download] = await Promise.all([ada.page.waitForEvent('download'), ada.button('export').click()]);
    expect(download.suggestedFilename()).toMatch(/^roundtable-statistics-\d{14}\.json$/);
    saved = JSON.parse(await readFile(await download.path(), 'utf8'));
    expect(saved.links[0].samples.at(-1).received.bytes).toBeGreaterThan(before.received);
  }).toPass();
  const after = await counted(ada);

  expect(saved.room).toBe('numbers');
  const [link] = saved.links;
  expect(link.name).toBe('Grace');
  const last = link.samples.at(-1);
  expect(last.received.bytes).toBeLessThanOrEqual(after.received);
  expect(last.sent.bytes).toBeGreaterThan(before.sent);
  expect(last.sent.bytes).toBeLessThanOrEqual(after.sent);
  const { local, remote, protocol } = after;
  expect(last.path).toEqual({ local, remote, protocol, relayed: false });
  expect(`video/${last.received.videoCodec}`).toBe(after.codec);
  expect(last.received.audioCodec).toBe('opus');
  // The rate matches the byte counters.
  const [first] = link.samples;
  const kbps = ((last.received.bytes - first.received.bytes) * 8) / (last.at - first.at);
  const mean =
    link.samples.slice(1).reduce((sum, { received }) => sum + received.kbps, 0) / (link.samples.length - 1);
  expect(Math.abs(mean / kbps - 1)).toBeLessThan(0.15);

  await ada.page.keyboard.press('Escape');
  await expect(panel).toHaveCount(0);
  expect(await ada.page.evaluate(() => window.probe.violations)).toEqual([]);
});

test.describe('R82', () => {
  test.use({ settings: { ROUNDTABLE_QUALITY_INTERVAL: '2s' } });

  test('what calls are like arrives in the metrics of the server', async ({ join, server }) => {
    const ada = await join('Ada', 'reported', { audio: true });
    const grace = await join('Grace', 'reported', { audio: true });
    await expectPictures(ada, 'Grace');
    await expectPictures(grace, 'Ada');
    const metric = (name) => server.metric(`roundtable_quality_${name}`);
    // One first frame at each end, reported once.
    await expect.poll(() => metric('first_frame_seconds_count')).toBe(2);
    await expect.poll(() => metric('links_total{path="direct"}')).toBeGreaterThan(3);
    for (const name of [
      'round_trip_seconds',
      'jitter_seconds',
      'height_pixels',
      'received_frames_per_second',
    ]) {
      await expect.poll(() => metric(`${name}_count`), { message: name }).toBeGreaterThan(1);
    }
    expect(await metric('first_frame_seconds_count')).toBe(2);
    expect(await metric('first_frame_seconds_bucket{le="20.0"}')).toBe(2);
    expect(await metric('received_bits_per_second_sum')).toBeGreaterThan(20_000);
    expect(await server.metric('roundtable_errors_total{code="not_allowed"}')).toBe(0);
    expect(await server.metric('roundtable_errors_total{code="bad_field"}')).toBe(0);
  });
});
