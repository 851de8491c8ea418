/** Emulates popovers (HTML §6.12) in browsers without them: Firefox before version 125, Safari before version 17. */

const isNative = 'popover' in HTMLElement.prototype;

/** Selector of an open popover. */
export const OPEN_POPOVER = isNative ? ':popover-open' : '.popover-open';

/**
 * Installs the emulation, if the browser has no popovers. Popovers are marked with `data-popover`, and their style is
 * in RoomView.vue.
 */
export function providePopovers(): void {
  if (isNative || document.documentElement.classList.contains('no-popovers')) return;
  let shown: HTMLElement | undefined;

  function show(popover: HTMLElement | undefined): void {
    const before = shown;
    if (before === popover) return;
    shown = popover;
    for (const [each, newState] of [
      [before, 'closed'],
      [popover, 'open'],
    ] as const) {
      each?.classList.toggle('popover-open', newState === 'open');
      each?.dispatchEvent(Object.assign(new Event('toggle'), { newState }));
    }
  }
  Object.assign(HTMLElement.prototype, {
    showPopover(this: HTMLElement) {
      show(this);
    },
    hidePopover(this: HTMLElement) {
      if (shown === this) show(undefined);
    },
    togglePopover(this: HTMLElement) {
      show(shown === this ? undefined : this);
    },
  });
  document.documentElement.classList.add('no-popovers');
  document.addEventListener('click', ({ target }) => {
    if (!(target instanceof Element)) return;
    const id = target.closest('[popovertarget]')?.getAttribute('popovertarget');
    const wanted = id ? (document.getElementById(id) ?? undefined) : undefined;
    if (wanted) show(wanted === shown ? undefined : wanted);
    else if (!shown?.contains(target)) show(undefined);
  });
  document.addEventListener(
    'keydown',
    (event) => {
      if (event.key !== 'Escape' || !shown) return;
      event.stopPropagation();
      show(undefined);
    },
    { capture: true },
  );
}
