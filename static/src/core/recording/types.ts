/** Interfaces between the parts of a recording, and the browser features they use. */

/** A rectangle in the picture, in pixels. */
export interface Place {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** One tile of the stage. */
export interface SceneTile {
  readonly key: string;
  readonly place: Place;
  /** Name as displayed. */
  readonly name: string;
  /** One or two letters shown without a picture, on a background of this hue in degrees. */
  readonly initials: string;
  readonly hue: number;
  /** The picture; `undefined` while there is none to show. */
  readonly picture: MediaStream | undefined;
  /** A screen is shown whole; a face fills its tile. */
  readonly whole: boolean;
  readonly muted: boolean;
  readonly speaking: boolean;
}

/** The picture and sound at one moment. */
export interface Scene {
  readonly tiles: readonly SceneTile[];
  /** All sounds played on this page; the meeting adds the user's own. */
  readonly sounds: readonly MediaStreamTrack[];
}

/** Size of the recorded picture. */
export const PICTURE = { width: 1280, height: 720 } as const;

/** Plays a stream's video off screen. */
export interface Projector {
  /** `undefined` until there is a frame. */
  readonly frame:
    { readonly image: CanvasImageSource; readonly width: number; readonly height: number } | undefined;
  close(): void;
}

/** Mixes audio tracks into one. */
export interface Mixer {
  readonly track: MediaStreamTrack;
  /** Adds a track. Call the returned function to remove it. */
  add(track: MediaStreamTrack): () => void;
  close(): void;
}

/** The part of a 2D canvas context that the painter uses. */
export type Brush = Pick<
  CanvasRenderingContext2D,
  | 'beginPath'
  | 'clip'
  | 'drawImage'
  | 'fill'
  | 'fillRect'
  | 'fillStyle'
  | 'fillText'
  | 'font'
  | 'lineWidth'
  | 'measureText'
  | 'restore'
  | 'roundRect'
  | 'save'
  | 'stroke'
  | 'strokeStyle'
  | 'textAlign'
  | 'textBaseline'
>;

/** The canvas that is recorded. */
export interface Canvas {
  readonly brush: Brush;
  readonly track: MediaStreamTrack;
  close(): void;
}

/** Encodes tracks to a file, chunk by chunk. */
export interface Encoder {
  /** Ends the file; the last chunks arrive before `onEnd`. */
  stop(): void;
}

/** Callbacks of an `Encoder`. */
export interface EncoderListener {
  readonly onPiece: (piece: Blob) => void;
  /** No more chunks follow: it was stopped, or the browser failed with an error. */
  readonly onEnd: (error?: unknown) => void;
}

/** The browser features needed for recording, or a test double. */
export interface Studio {
  /**
   * Returns whether canvas contents can be read back unchanged. Browsers with fingerprinting protection may alter
   * them.
   */
  isFaithful(): boolean;
  newCanvas(width: number, height: number, fps: number): Canvas;
  newMixer(): Mixer;
  newProjector(stream: MediaStream): Projector;
  newEncoder(tracks: readonly MediaStreamTrack[], mime: string, listener: EncoderListener): Encoder;
  /** Calls back periodically, even while the page is hidden, until the returned function is called. */
  everySoOften(milliseconds: number, call: () => void): () => void;
}
