import { ref, type Ref } from 'vue';
import type { Corner } from '../room/stage';

/** Corner of a small tile over the stage, and the gestures that change it. */
export interface Inset {
  readonly corner: Ref<Corner>;
  /** Offset from the corner while the tile is dragged, in CSS pixels. */
  readonly drag: Ref<{ readonly x: number; readonly y: number } | undefined>;
  /** Moves the tile clockwise, as an alternative to dragging (WCAG 2.5.7). */
  readonly nextCorner: () => void;
  readonly startDrag: (event: PointerEvent) => void;
  readonly moveDrag: (event: PointerEvent) => void;
  readonly endDrag: (event: PointerEvent) => void;
}

/** Lets a small tile be moved between the corners of a stage of this size. */
export function useInset(stage: () => { readonly width: number; readonly height: number }): Inset {
  const corner = ref<Corner>({ right: true, bottom: false });
  const drag = ref<{ x: number; y: number }>();
  let start = { x: 0, y: 0 };

  function nextCorner(): void {
    const { right, bottom } = corner.value;
    corner.value = { right: !bottom, bottom: right };
  }

  function startDrag(event: PointerEvent): void {
    if (event.target instanceof Element && event.target.closest('button')) return;
    if (event.currentTarget instanceof Element) event.currentTarget.setPointerCapture(event.pointerId);
    start = { x: event.clientX, y: event.clientY };
    drag.value = { x: 0, y: 0 };
  }

  function moveDrag(event: PointerEvent): void {
    if (drag.value) drag.value = { x: event.clientX - start.x, y: event.clientY - start.y };
  }

  function endDrag(): void {
    if (!drag.value) return;
    const { width, height } = stage();
    const { right, bottom } = corner.value;
    corner.value = {
      right: crossed(drag.value.x, width, right),
      bottom: crossed(drag.value.y, height, bottom),
    };
    drag.value = undefined;
  }

  return { corner, drag, nextCorner, startDrag, moveDrag, endDrag };
}

/** Returns on which side of an axis a dragged tile rests: it changes sides after a fifth of the length. */
function crossed(distance: number, length: number, atEnd: boolean): boolean {
  return atEnd ? distance > -length / 5 : distance > length / 5;
}
