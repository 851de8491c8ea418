// Drawn people who look into a camera, so that screenshots in a README are free of third-party rights.

/** Appearance of each person. */
export const LOOKS = {
  Ada: {
    wall: ['#f3d9c4', '#c98f78'],
    skin: '#f0c3a2',
    hair: '#5a3423',
    shirt: '#2f6f73',
    style: 'bun',
    room: 'window',
  },
  Grace: {
    wall: ['#cfe3ea', '#7fa3b5'],
    skin: '#8d5a3c',
    hair: '#231714',
    shirt: '#e0a63a',
    style: 'curls',
    room: 'plant',
  },
  Kofi: {
    wall: ['#3d4a63', '#1f2739'],
    skin: '#5d3a28',
    hair: '#140e0c',
    shirt: '#c9d4e4',
    style: 'short',
    room: 'lamp',
  },
  美玲: {
    wall: ['#e6e0f0', '#a89cc4'],
    skin: '#f2cfae',
    hair: '#1b1a20',
    shirt: '#b6455c',
    style: 'long',
    room: 'shelf',
  },
};

/** Draws a person; runs in a page. Returns a JPEG as a data URL. */
export function draw({ wall, skin, hair, shirt, style, room, sway }) {
  const [width, height] = [640, 360];
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const c = canvas.getContext('2d');
  const fill = (colour, path) => {
    c.fillStyle = colour;
    c.beginPath();
    path();
    c.fill();
  };
  const ellipse =
    (x, y, rx, ry, turn = 0) =>
    () =>
      c.ellipse(x, y, rx, ry, turn, 0, 2 * Math.PI);
  const box =
    (x, y, w, h, r = 4) =>
    () =>
      c.roundRect(x, y, w, h, r);
  const gradient = (x0, y0, x1, y1, ...stops) => {
    const made = c.createLinearGradient(x0, y0, x1, y1);
    stops.forEach((stop, i) => made.addColorStop(i / (stops.length - 1), stop));
    return made;
  };
  const shade = (amount) => `rgb(0 0 0 / ${amount})`;
  const light = (amount) => `rgb(255 255 255 / ${amount})`;

  c.fillStyle = gradient(0, 0, width, height, ...wall);
  c.fillRect(0, 0, width, height);

  // The room is out of focus, as behind a person near the camera.
  c.filter = 'blur(5px)';
  const rooms = {
    window() {
      fill(light(0.75), box(430, 20, 170, 210));
      fill(gradient(0, 25, 0, 225, '#a9d4f2', '#e9f4e2'), box(440, 30, 150, 190));
      c.save();
      c.beginPath();
      c.rect(440, 30, 150, 190);
      c.clip();
      fill('#8fb98a', ellipse(500, 225, 90, 40));
      c.restore();
      fill(light(0.8), box(511, 30, 8, 190));
      fill('#a9634f', box(0, 250, 150, 110));
    },
    plant() {
      fill('#f5f0e6', box(40, 40, 120, 150));
      fill('#d7866a', ellipse(100, 115, 34, 34));
      for (const [x, turn] of [
        [500, -0.9],
        [525, -0.4],
        [548, 0],
        [570, 0.4],
        [595, 0.9],
      ]) {
        fill('#3f7a55', ellipse(x, 190, 18, 78, turn));
      }
      fill('#b5674a', box(508, 250, 82, 110, 10));
    },
    lamp() {
      const glow = c.createRadialGradient(120, 110, 10, 120, 110, 240);
      glow.addColorStop(0, 'rgb(255 214 150 / 85%)');
      glow.addColorStop(1, 'rgb(255 190 110 / 0%)');
      fill(glow, () => c.rect(0, 0, width, height));
      fill('#ffe3b0', () => c.roundRect(78, 70, 84, 62, [30, 30, 6, 6]));
      fill('#2a2320', box(116, 130, 8, 230));
      fill('#52617f', box(450, 60, 150, 100));
      fill('#8897b5', box(460, 70, 130, 80));
    },
    shelf() {
      for (const [y, books] of [
        [60, ['#c96f5b', '#e7c46b', '#5f8fa8', '#f3efe6', '#7c6aa8']],
        [170, ['#5f8fa8', '#f3efe6', '#b6455c', '#7aa27f']],
      ]) {
        books.forEach((colour, i) => fill(colour, box(440 + i * 32, y - (i % 3) * 8, 26, 78 + (i % 3) * 8)));
        fill('#8a6a55', box(420, y + 78, 220, 12));
      }
      fill(light(0.5), box(40, 60, 110, 130));
    },
  };
  rooms[room]();
  c.filter = 'none';

  c.translate(width / 2 + sway * 3, 18);
  c.rotate(sway * 0.012);
  const soft = (colour, path) => {
    c.save();
    c.filter = 'blur(6px)';
    fill(colour, path);
    c.restore();
  };

  // Behind the head.
  if (style === 'long') fill(hair, () => c.roundRect(-82, 62, 164, 210, [80, 80, 40, 40]));
  if (style === 'bun') fill(hair, ellipse(0, 34, 36, 32));
  if (style === 'curls') {
    for (let i = 0; i < 15; i++) {
      const angle = Math.PI * (0.86 + (1.28 * i) / 14);
      fill(hair, ellipse(86 * Math.cos(angle), 128 + 86 * Math.sin(angle), 34, 34));
    }
  }

  // Shoulders, neck, head.
  fill(shirt, () => {
    c.moveTo(-185, 360);
    c.bezierCurveTo(-178, 268, -120, 258, -48, 240);
    c.lineTo(48, 240);
    c.bezierCurveTo(120, 258, 178, 268, 185, 360);
  });
  fill(skin, () => c.roundRect(-34, 190, 68, 76, [0, 0, 34, 34]));
  soft(shade(0.2), ellipse(0, 214, 32, 20));
  fill(skin, ellipse(-68, 140, 13, 20));
  fill(skin, ellipse(68, 140, 13, 20));
  fill(skin, () => c.roundRect(-68, 54, 136, 166, [66, 66, 64, 64]));

  // Face.
  c.save();
  c.beginPath();
  c.roundRect(-68, 54, 136, 166, [66, 66, 64, 64]);
  c.clip();
  soft(shade(0.1), ellipse(74, 150, 34, 90));
  c.restore();
  soft('rgb(214 90 80 / 26%)', ellipse(-40, 168, 15, 9));
  soft('rgb(214 90 80 / 26%)', ellipse(40, 168, 15, 9));
  for (const side of [-1, 1]) {
    fill('#231a18', ellipse(side * 27, 140, 6.5, 8));
    fill(light(0.9), ellipse(side * 27 + 2.4, 137, 2, 2.4));
    c.strokeStyle = hair;
    c.lineWidth = 5;
    c.lineCap = 'round';
    c.beginPath();
    c.moveTo(side * 17, 119);
    c.quadraticCurveTo(side * 28, 113, side * 39, 119);
    c.stroke();
  }
  c.strokeStyle = shade(0.22);
  c.lineWidth = 4;
  c.beginPath();
  c.moveTo(1, 146);
  c.quadraticCurveTo(8, 164, -3, 166);
  c.stroke();
  fill('#7c2f33', () => {
    c.moveTo(-24, 184);
    c.quadraticCurveTo(0, 212, 24, 184);
    c.quadraticCurveTo(0, 190, -24, 184);
  });

  // In front of the head.
  const fringe = {
    bun: () => c.ellipse(0, 104, 72, 66, 0, Math.PI, 0),
    long: () => c.ellipse(0, 116, 82, 74, 0, Math.PI, 0),
    short: () => c.ellipse(0, 98, 69, 50, 0, Math.PI, 0),
    curls: () => c.ellipse(0, 98, 72, 56, 0, Math.PI, 0),
  };
  fill(hair, () => {
    fringe[style]();
    c.quadraticCurveTo(40, 84, 0, 86);
    c.quadraticCurveTo(-40, 84, -72, 106);
  });
  if (style === 'long') {
    fill(hair, box(-82, 108, 20, 118, [0, 0, 10, 10]));
    fill(hair, box(62, 108, 20, 118, [0, 0, 10, 10]));
  }

  // Chromium treats a video's colours as limited range, with black at 16 and white at 235.
  c.resetTransform();
  fill('rgb(114 114 114 / 14%)', () => c.rect(0, 0, width, height));
  return canvas.toDataURL('image/jpeg', 0.95);
}
