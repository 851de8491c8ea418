/** What the parts of a recording say to each other, and what of a browser they use. */

/** A place in the picture, in pixels. */
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
  /** As written on it. */
  readonly name: string;
  /** What stands there without a picture: a letter or two, on this hue in degrees. */
  readonly initials: string;
  readonly hue: number;
  /** Its picture; `undefined` while there is none to be seen. */
  readonly picture: MediaStream | undefined;
  /** A screen is shown whole; a face fills its tile. */
  readonly whole: boolean;
  readonly muted: boolean;
  readonly speaking: boolean;
}

/** What is seen and heard at one moment. */
export interface Scene {
  readonly tiles: readonly SceneTile[];
  /** Whatever is played here; one's own sound is added by the meeting. */
  readonly sounds: readonly MediaStreamTrack[];
}

/** The size of the picture. */
export const PICTURE = { width: 1280, height: 720 } as const;

/** Plays the picture of a stream where nobody sees it. */
export interface Projector {
  /** `undefined` until there is a picture. */
  readonly frame:
    { readonly image: CanvasImageSource; readonly width: number; readonly height: number } | undefined;
  close(): void;
}

/** Sums sound up, and gives the sum as one track. */
export interface Mixer {
  readonly track: MediaStreamTrack;
  /** Adds a track until the returned function is called. */
  add(track: MediaStreamTrack): () => void;
  close(): void;
}

/** What of a 2D canvas the painter uses. */
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

/** The picture that is drawn. */
export interface Canvas {
  readonly brush: Brush;
  readonly track: MediaStreamTrack;
  close(): void;
}

/** Turns tracks into a file, piece by piece. */
export interface Encoder {
  /** Ends the file; the last pieces come before `onEnd`. */
  stop(): void;
}

/** What an `Encoder` tells. */
export interface EncoderListener {
  readonly onPiece: (piece: Blob) => void;
  /** Nothing more comes: it was stopped, or its browser gave up with an error. */
  readonly onEnd: (error?: unknown) => void;
}

/** The parts of a browser that record: real ones, or a test's. */
export interface Studio {
  /** Returns whether what is read from a canvas is what was drawn: browsers that fight fingerprinting may change it. */
  isFaithful(): boolean;
  newCanvas(width: number, height: number, fps: number): Canvas;
  newMixer(): Mixer;
  newProjector(stream: MediaStream): Projector;
  newEncoder(tracks: readonly MediaStreamTrack[], mime: string, listener: EncoderListener): Encoder;
  /** Calls so often, also while the page is hidden, until the returned function is called. */
  everySoOften(milliseconds: number, call: () => void): () => void;
}
