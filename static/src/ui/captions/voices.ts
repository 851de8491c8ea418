/** A track that mixes several streams (W3C Web Audio), for a recognizer that takes a single track. */
export interface Voices {
  readonly track: MediaStreamTrack;
  /** Replaces the mixed streams. The tracks of a stream may have changed. */
  set(streams: readonly MediaStream[]): void;
  close(): void;
}

/** Mixes streams until closed. */
export function mixVoices(): Voices {
  const context = new AudioContext();
  const sum = context.createMediaStreamDestination();
  const sources = new Map<MediaStreamTrack, MediaStreamAudioSourceNode>();
  const [track] = sum.stream.getAudioTracks();
  if (track === undefined) throw new Error('no sound');
  return {
    track,
    set: (streams) => {
      const tracks = new Set(streams.flatMap((stream) => stream.getAudioTracks()));
      for (const [known, source] of sources) {
        if (tracks.has(known)) continue;
        source.disconnect();
        sources.delete(known);
      }
      for (const added of tracks) {
        if (sources.has(added)) continue;
        const source = context.createMediaStreamSource(new MediaStream([added]));
        source.connect(sum);
        sources.set(added, source);
      }
    },
    close: () => {
      track.stop();
      void context.close();
    },
  };
}
