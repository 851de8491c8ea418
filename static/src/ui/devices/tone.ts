const SECONDS = 0.9;

/** Plays two notes on the speaker with this `setSinkId` id; resolves when they have faded. */
export async function playTone(speaker: string): Promise<void> {
  const context = new AudioContext();
  // More browsers can select the output of an element than that of a context.
  const player = new Audio();
  try {
    const out = context.createMediaStreamDestination();
    const volume = context.createGain();
    volume.connect(out);
    player.srcObject = out.stream;
    if (speaker !== '' && 'setSinkId' in player) await player.setSinkId(speaker);
    await player.play();
    const start = context.currentTime;
    volume.gain.setValueAtTime(0.25, start);
    volume.gain.exponentialRampToValueAtTime(0.001, start + SECONDS);
    const notes = [523.25, 659.25].map((frequency, index) => {
      const note = context.createOscillator();
      note.frequency.value = frequency;
      note.connect(volume);
      note.start(start + index * 0.18);
      note.stop(start + SECONDS);
      return note;
    });
    await new Promise((resolve) => notes.at(-1)?.addEventListener('ended', resolve));
  } finally {
    player.srcObject = null;
    await context.close();
  }
}
