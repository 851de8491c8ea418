import { describe, expect, test } from 'vitest';
import { audioParameters, type Plan, planFor, QUALITIES, UPLINK_KBPS, videoParameters } from './adaptation';

const free = { sharing: false, availableKbps: undefined };
const crowds = Array.from({ length: 15 }, (_, index) => index + 1);
const total = ({ voiceKbps, screenSoundKbps, camera, screen }: Plan, sharing: boolean): number =>
  voiceKbps + screenSoundKbps + camera.maxKbps + (sharing ? screen.maxKbps : 0);

/** Pseudo-random numbers, the same in each run (a linear congruential generator). */
function chances(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

describe('the plan', () => {
  test.each(crowds)('with %i others all copies fit into the uplink, with a tenth for headers', (people) => {
    for (const sharing of [false, true]) {
      const sum = total(planFor({ ...free, people, sharing }), sharing) * people;
      expect(sum).toBeLessThanOrEqual(UPLINK_KBPS * 0.9);
    }
  });

  test('eight people: a picture of 360 lines for each of the seven others', () => {
    const { camera } = planFor({ ...free, people: 7 });
    expect(camera).toMatchObject({ maxKbps: 410, height: 360, fps: 30 });
  });

  test('more people never get more each', () => {
    const plans = crowds.map((people) => planFor({ ...free, people }).camera);
    for (const [index, plan] of plans.slice(1).entries()) {
      const fewer = plans[index];
      expect(plan.maxKbps).toBeLessThanOrEqual(fewer?.maxKbps ?? 0);
      expect(plan.height).toBeLessThanOrEqual(fewer?.height ?? 0);
    }
  });

  test('whatever happened before, it fits, falls at once, and sound keeps its own', () => {
    const chance = chances(7);
    let plan: Plan | undefined;
    for (let step = 0; step < 3_000; step++) {
      const people = 1 + Math.floor(chance() * 15);
      const sharing = chance() < 0.3;
      const availableKbps = chance() < 0.2 ? undefined : Math.floor(chance() * 3_000);
      plan = planFor({ people, sharing, availableKbps }, plan);
      expect(total(plan, sharing) * people).toBeLessThanOrEqual(UPLINK_KBPS * 0.9);
      expect(plan.voiceKbps).toBe(40);
      expect(plan.camera.maxKbps).toBeGreaterThanOrEqual(50);
      const fresh = planFor({ people, sharing, availableKbps });
      expect(plan.camera.maxKbps).toBeLessThanOrEqual(fresh.camera.maxKbps);
      expect(plan.camera.maxKbps).toBeGreaterThan(fresh.camera.maxKbps / 1.2 - 1);
    }
  });

  test('a narrow way shrinks the picture of that person only, and never the sound', () => {
    expect(planFor({ ...free, people: 2, availableKbps: 200 }).camera).toMatchObject({
      maxKbps: 140,
      height: 180,
    });
    expect(planFor({ ...free, people: 2, availableKbps: 5 })).toMatchObject({
      voiceKbps: 40,
      camera: { maxKbps: 50, height: 180, fps: 12 },
    });
  });

  test('a way that widens little by little ends at the most there is', () => {
    let plan: Plan | undefined;
    for (let availableKbps = 1_000; availableKbps < 2_000; availableKbps += 90) {
      plan = planFor({ people: 1, sharing: false, availableKbps }, plan);
    }
    expect(plan?.camera).toMatchObject({ maxKbps: 1_500, height: 720 });
  });

  test('a bandwidth that wavers changes the size at most once', () => {
    const chance = chances(3);
    let plan: Plan | undefined;
    let changes = 0;
    for (let step = 0; step < 500; step++) {
      const before: number | undefined = plan?.camera.height;
      // Around the bitrate where 360 lines become possible.
      plan = planFor({ people: 2, sharing: false, availableKbps: 430 + chance() * 60 }, plan);
      if (before !== undefined && before !== plan.camera.height) changes += 1;
    }
    expect(changes).toBeLessThanOrEqual(1);
  });

  test('a screen takes most of it, and the camera gets back what it gave', () => {
    const alone = planFor({ ...free, people: 3 });
    const shared = planFor({ ...free, people: 3, sharing: true }, alone);
    expect(shared.screen.maxKbps).toBeGreaterThan(2 * shared.camera.maxKbps);
    expect(planFor({ ...free, people: 3 }, shared)).toEqual(alone);
  });
});

describe('parameters', () => {
  const present = (encodings: RTCRtpEncodingParameters[]): RTCRtpSendParameters => ({
    transactionId: 'x',
    codecs: [],
    headerExtensions: [],
    rtcp: {},
    encodings,
  });
  const plan = { maxKbps: 300, height: 270, fps: 24, rung: 2 };

  test('are set once', () => {
    const next = videoParameters(present([{ active: true, rid: 'a' }]), plan, 720);
    expect(next?.encodings).toEqual([
      { active: true, rid: 'a', maxBitrate: 300_000, maxFramerate: 24, scaleResolutionDownBy: 2.67 },
    ]);
    expect(next?.transactionId).toBe('x');
    expect(videoParameters(present(next?.encodings ?? []), plan, 720)).toBeUndefined();
    const sound = audioParameters(present([{}]), 40);
    expect(sound?.encodings).toEqual([{ maxBitrate: 40_000, priority: 'high' }]);
    expect(audioParameters(present(sound?.encodings ?? []), 40)).toBeUndefined();
  });

  test('never enlarge, and wait for the negotiation', () => {
    expect(videoParameters(present([{}]), plan, 180)?.encodings[0]?.scaleResolutionDownBy).toBe(1);
    expect(videoParameters(present([{}]), plan, undefined)?.encodings[0]?.scaleResolutionDownBy).toBe(1);
    expect(videoParameters(present([]), plan, 720)).toBeUndefined();
    expect(audioParameters(present([{}]), 0)).toBeUndefined();
  });
});

describe('what people choose', () => {
  const one = { ...free, people: 1 };

  test('high sends 720 lines at a higher rate, a data saver a small picture', () => {
    const { camera, voiceKbps } = planFor({ ...one, quality: 'high' });
    expect(camera).toMatchObject({ maxKbps: 3_000, height: 720 });
    expect(voiceKbps).toBe(64);
    expect(planFor({ ...one, quality: 'saver' })).toMatchObject({
      voiceKbps: 24,
      camera: { maxKbps: 250, height: 270 },
    });
    expect(planFor({ ...one, quality: 'audio' })).toEqual(planFor(one));
  });

  test('all copies of a data saver fit into its share of the uplink', () => {
    for (const people of crowds) {
      const plan = planFor({ ...free, people, quality: 'saver', sharing: true });
      // Below 50 kbit/s a picture is unusable.
      expect(plan.camera.maxKbps === 50 || total(plan, true) * people <= 1_000).toBe(true);
    }
  });

  test('whoever asks for less gets no more than a data saver sends, and the others what they got', () => {
    const sharing = { ...free, people: 2, sharing: true };
    for (const quality of QUALITIES) {
      const { camera, screen, voiceKbps } = planFor({ ...sharing, quality, reception: 'less' });
      expect(camera.maxKbps).toBeLessThanOrEqual(250);
      expect(screen.maxKbps).toBeLessThanOrEqual(600);
      expect(voiceKbps).toBe(24);
    }
    expect(planFor({ ...sharing, reception: 'all' })).toEqual(planFor(sharing));
  });
});
