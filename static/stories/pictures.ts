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
