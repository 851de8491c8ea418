import {
  computed,
  onBeforeUnmount,
  onMounted,
  ref,
  shallowRef,
  watch,
  watchEffect,
  type ComputedRef,
  type Ref,
  type ShallowRef,
} from 'vue';
import type { ChatControls, ChatEntry, OfferResult } from '../../core/types';
import { givenFiles } from '../chat/given';
import { unreadInTitle } from './unreadInTitle';

/** Why a message was not sent or a file not offered. */
export interface ChatRefusal {
  readonly code: Exclude<OfferResult, 'offered'> | 'too_fast' | 'folder';
  readonly name: string;
}

/** Chat state that persists while the panel is closed. */
export interface ChatDesk {
  readonly draft: Ref<string>;
  /** Recipient of the next message or file; '' is everyone. */
  readonly to: Ref<string>;
  readonly refusal: Ref<ChatRefusal | undefined>;
  readonly unread: ComputedRef<number>;
  /** A file is being dragged over the page. */
  readonly dragging: Ref<boolean>;
  readonly say: () => void;
  readonly offer: (files: Iterable<File>) => void;
  /** Pasted images, until the user confirms sending them. */
  readonly pasted: ShallowRef<readonly File[]>;
  readonly paste: (event: ClipboardEvent) => void;
}

/** Chat in a room: drafts, unread messages, and files that are dropped anywhere on the page. */
export function useChat(
  controls: ChatControls,
  entries: () => readonly ChatEntry[],
  isOpen: () => boolean,
  open: () => void,
): ChatDesk {
  const draft = ref('');
  const to = ref('');
  const refusal = ref<ChatRefusal>();
  const dragging = ref(false);
  const pasted = shallowRef<readonly File[]>([]);
  const visible = ref(!document.hidden);
  /** Id of the last entry that existed while the panel was open. */
  const seen = ref<string | undefined>(entries().at(-1)?.id);

  watch([entries, () => isOpen() && visible.value], ([now, isRead]) => {
    if (isRead) seen.value = now.at(-1)?.id;
  });
  const unread = computed(() => {
    const all = entries();
    const last = all.findIndex(({ id }) => id === seen.value);
    return all.slice(last + 1).filter(({ from }) => from !== undefined).length;
  });

  watchEffect(() => {
    unreadInTitle.value = unread.value;
  });

  function say(): void {
    refusal.value = undefined;
    if (controls.say(draft.value, to.value || undefined)) draft.value = '';
    else if (draft.value.trim() !== '') refusal.value = { code: 'too_fast', name: '' };
  }
  function offer(files: Iterable<File>): void {
    refusal.value = undefined;
    for (const file of files) {
      const code = controls.offer(file, to.value || undefined);
      if (code !== 'offered') refusal.value = { code, name: file.name };
    }
  }

  function take(data: DataTransfer): void {
    const { files, folders } = givenFiles(data);
    offer(files);
    if (folders[0] !== undefined) refusal.value = { code: 'folder', name: folders[0] };
  }

  function paste(event: ClipboardEvent): void {
    const data = event.clipboardData;
    if (!data || data.files.length === 0) return;
    const images = [...data.files].filter(({ type }) => type.startsWith('image/'));
    if (images.length < data.files.length) {
      event.preventDefault();
      take(data);
      return;
    }
    // Ask first: office programs add an image of each copied text, and a screenshot may show more than intended.
    pasted.value = images;
    if (data.getData('text/plain') === '') event.preventDefault();
  }

  // Handles file drags on the whole page. Otherwise the browser would open a file that misses the panel, replacing
  // the meeting.
  function drag(event: DragEvent): void {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    dragging.value = event.type === 'dragover';
    if (event.type !== 'drop') return;
    open();
    take(event.dataTransfer);
  }
  function leave(event: DragEvent): void {
    if (event.relatedTarget === null) dragging.value = false;
  }
  function look(): void {
    visible.value = !document.hidden;
  }
  onMounted(() => {
    document.addEventListener('visibilitychange', look);
    document.addEventListener('dragover', drag);
    document.addEventListener('drop', drag);
    document.addEventListener('dragleave', leave);
  });
  onBeforeUnmount(() => {
    unreadInTitle.value = 0;
    document.removeEventListener('visibilitychange', look);
    document.removeEventListener('dragover', drag);
    document.removeEventListener('drop', drag);
    document.removeEventListener('dragleave', leave);
  });
  return { draft, to, refusal, unread, dragging, say, offer, pasted, paste };
}
