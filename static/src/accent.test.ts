import { expect, test } from 'vitest';
import fc from 'fast-check';
import { accentFor, contrastOf } from './accent';

const SURFACES = { light: '#ffffff', dark: '#191d26' } as const;

test('a colour that can be told from both grounds stays as it is', () => {
  expect(accentFor('light', '#0A7D55').accent).toBe('#0a7d55');
  expect(accentFor('dark', '#4f8ef7').accent).toBe('#4f8ef7');
});

test('whatever the operator chooses, buttons are seen and their text is legible', () => {
  const colours = fc
    .integer({ min: 0, max: 0xff_ff_ff })
    .map((value) => `#${value.toString(16).padStart(6, '0')}`);
  fc.assert(
    fc.property(colours, fc.constantFrom('light', 'dark'), (asked, look) => {
      const { accent, hover, on, soft } = accentFor(look, asked);
      // Rounding to eight bits costs a hundredth.
      expect(contrastOf(accent, SURFACES[look])).toBeGreaterThan(2.97);
      expect(contrastOf(accent, on)).toBeGreaterThan(4.5);
      expect(contrastOf(hover, on)).toBeGreaterThan(contrastOf(accent, on) - 0.03);
      expect(contrastOf(soft, look === 'light' ? '#171b26' : '#eef0f5')).toBeGreaterThan(4.5);
    }),
  );
});
