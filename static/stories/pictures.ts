/** A still "camera" that needs no device: a figure before a coloured wall. */
export function picture(hue: number): MediaStream {
  const canvas = document.createElement('canvas');
  canvas.width = 640;
  canvas.height = 360;
  const context = canvas.getContext('2d');
  if (context === null) throw new Error('no canvas');
  const wall = context.createLinearGradient(0, 0, 640, 360);
  wall.addColorStop(0, `hsl(${hue} 35% 70%)`);
  wall.addColorStop(1, `hsl(${hue + 40} 30% 45%)`);
  context.fillStyle = wall;
  context.fillRect(0, 0, 640, 360);
  context.fillStyle = `hsl(${hue + 180} 30% 30%)`;
  context.beginPath();
  context.ellipse(320, 390, 170, 150, 0, 0, Math.PI * 2);
  context.fill();
  context.fillStyle = 'hsl(25 40% 68%)';
  context.beginPath();
  context.ellipse(320, 170, 66, 82, 0, 0, Math.PI * 2);
  context.fill();
  return canvas.captureStream(5);
}

/** A still "screen": a page of a document. */
export function slide(): MediaStream {
  const canvas = document.createElement('canvas');
  canvas.width = 1280;
  canvas.height = 800;
  const context = canvas.getContext('2d');
  if (context === null) throw new Error('no canvas');
  context.fillStyle = '#fbfbfd';
  context.fillRect(0, 0, 1280, 800);
  context.fillStyle = '#23305c';
  context.fillRect(0, 0, 1280, 56);
  context.font = '600 44px sans-serif';
  context.fillText('Quarterly report', 120, 150);
  context.fillStyle = '#9aa3b5';
  for (let line = 0; line < 9; line++) context.fillRect(120, 200 + line * 30, 560 - (line % 4) * 70, 10);
  for (let bar = 0; bar < 6; bar++) {
    context.fillStyle = `hsl(${220 + bar * 12} 55% 58%)`;
    context.fillRect(760 + bar * 66, 620 - bar * 62, 44, 60 + bar * 62);
  }
  return canvas.captureStream(5);
}
