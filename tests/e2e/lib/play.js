// Checks that recordings can be played.

/**
 * Plays a file; runs in the page. Returns the mean colours of some places at the beginning and at the end, or
 * `beforeEnd` seconds before it, and the peak volume, from 0 to 1.
 */
export async function play({ name, places = [[640, 360]], beforeEnd }) {
  const folder = await navigator.storage.getDirectory();
  const file = name ? await (await folder.getFileHandle(name)).getFile() : window.downloaded;
  const video = document.createElement('video');
  video.muted = true;
  video.src = URL.createObjectURL(file);
  const once = (event) => new Promise((resolve) => video.addEventListener(event, resolve, { once: true }));
  const loaded = Promise.race([once('loadeddata'), once('error')]);
  await loaded;
  if (video.error) return { error: video.error.message };
  if (video.duration === Infinity) {
    // A progressively written file does not contain its duration; seeking to the end determines it.
    const seeked = once('seeked');
    video.currentTime = 1e6;
    await seeked;
  }
  const seconds = Math.min(video.duration, video.currentTime > 0 ? video.currentTime : video.duration);
  const canvas = document.createElement('canvas');
  const brush = canvas.getContext('2d');
  const { videoWidth: width, videoHeight: height } = video;
  Object.assign(canvas, { width, height });
  const seen = [];
  const moments = beforeEnd ? beforeEnd.map((each) => seconds - each) : [0.05 * seconds, 0.95 * seconds];
  for (const moment of moments) {
    const seeked = once('seeked');
    video.currentTime = moment;
    await seeked;
    brush.drawImage(video, 0, 0);
    seen.push(
      places.map(([x, y]) => {
        const { data } = brush.getImageData(x - 60, y - 60, 120, 120);
        return [0, 1, 2].map((colour) =>
          Math.round(data.filter((_, i) => i % 4 === colour).reduce((a, b) => a + b) / 120 ** 2),
        );
      }),
    );
  }
  const context = new OfflineAudioContext(1, 48_000, 48_000);
  const sound = await context.decodeAudioData(await file.arrayBuffer());
  const loudness = sound.getChannelData(0).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return {
    seconds,
    soundSeconds: sound.duration,
    width,
    height,
    seen,
    loudness,
  };
}

/** Plays a file that is not in the page. */
export function playBytes(page, bytes) {
  return page.evaluate(
    async ([bytes, source]) => {
      window.downloaded = new Blob([Uint8Array.from(atob(bytes), (each) => each.charCodeAt(0))]);
      return (0, eval)(`(${source})`)({});
    },
    [bytes.toString('base64'), play.toString()],
  );
}
