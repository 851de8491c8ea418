// Menus, dialogs and panels of the room.

import { expect } from './test.js';

/** The buttons that open each of them, in order; for a host with other members. */
export const OVER_THE_ROOM = [
  ['more'],
  ['more', 'shortcuts'],
  ['more', 'devices'],
  ['more', 'quality'],
  ['more', 'record'],
  ['react'],
  ['invite'],
  ['people'],
  ['people', 'person-actions'],
  ['people', 'person-actions', 'remove'],
  ['chat'],
  ['link'],
  ['link', 'statistics'],
  ['link', 'safety'],
];

/** Opens each, calls `look`, and closes it again. */
export async function throughEach(person, look) {
  for (const path of OVER_THE_ROOM) {
    for (const action of path) {
      // Buttons that a narrow bar moves to its menu are clicked in place.
      await expect(person.button(action).first()).toBeAttached();
      await person
        .button(action)
        .first()
        .evaluate((element) => element.click());
    }
    const over = person.page.locator('dialog[open], :popover-open, [data-panel]');
    await expect(over.last()).toBeVisible();
    // The opened part may load its content first.
    await person.page.waitForLoadState('networkidle');
    await look(path.join(' → '));
    for (let left = await over.count(); left > 0; left = await over.count()) {
      await over.last().press('Escape');
      await expect(over).toHaveCount(left - 1);
    }
  }
}
