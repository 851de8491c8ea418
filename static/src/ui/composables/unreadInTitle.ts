import { ref } from 'vue';

/** Number of unread messages shown in the document's title. */
export const unreadInTitle = ref(0);
