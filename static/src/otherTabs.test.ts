import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type OtherTabs, watchOtherTabs } from './otherTabs';

let tabs: OtherTabs[];
let page: EventTarget;

/** Opens a tab. Its last report is the only element of the returned array. */
function tab(room = 'standup', inside = false): [OtherTabs, boolean[]] {
  const reports: boolean[] = [];
  const opened = watchOtherTabs(room, (elsewhere) => reports.splice(0, 1, elsewhere));
  opened.setInside(inside);
  tabs.push(opened);
  return [opened, reports];
}

beforeEach(() => {
  tabs = [];
  page = new EventTarget();
  vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
});

afterEach(() => {
  for (const each of tabs) each.stop();
  vi.unstubAllGlobals();
});

test('a tab in the meeting is known to one that is opened later, and its end as well', async () => {
  const [first, reports] = tab('standup', true);
  const [second, later] = tab();
  await vi.waitFor(() => {
    expect(later).toEqual([true]);
  });
  // A tab in the lobby of the meeting does not count.
  expect(reports).toEqual([]);
  second.setInside(true);
  await vi.waitFor(() => {
    expect(reports).toEqual([true]);
  });
  first.stop();
  await vi.waitFor(() => {
    expect(later).toEqual([false]);
  });
});

test('tabs of other meetings do not count', async () => {
  tab('other', true);
  const [, reports] = tab('standup');
  const [, witness] = tab('other');
  await vi.waitFor(() => {
    expect(witness).toEqual([true]);
  });
  expect(reports).toEqual([]);
});

test('a page that goes says so, and asks again when it is restored', async () => {
  tab('standup', true);
  const [, reports] = tab();
  await vi.waitFor(() => {
    expect(reports).toEqual([true]);
  });
  page.dispatchEvent(new Event('pagehide'));
  expect(reports).toEqual([false]);
  page.dispatchEvent(new Event('pageshow'));
  await vi.waitFor(() => {
    expect(reports).toEqual([true]);
  });
});

test('works in browsers that have no channel between tabs', () => {
  vi.stubGlobal('BroadcastChannel', undefined);
  Reflect.deleteProperty(globalThis, 'BroadcastChannel');
  expect(tab('standup', true)[1]).toEqual([]);
});
