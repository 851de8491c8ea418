import { ref } from 'vue';

/** Address of the operator's logo, if there is one. */
export const logo = ref<string>();
