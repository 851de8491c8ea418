/** What was dropped or pasted. */
export interface Given {
  readonly files: readonly File[];
  /** Names of folders: browsers give each as a file that cannot be read. */
  readonly folders: readonly string[];
}

/** Separates files from folders. To be called in the event: its data is gone afterwards. */
export function givenFiles({ items }: Pick<DataTransfer, 'items'>): Given {
  const files: File[] = [];
  const folders: string[] = [];
  for (const item of items) {
    if (item.kind !== 'file') continue;
    // `null` for an image out of another program, which is no entry of a file system.
    const entry = item.webkitGetAsEntry();
    const file = item.getAsFile();
    if (entry?.isDirectory) folders.push(entry.name);
    else if (file) files.push(file);
  }
  return { files, folders };
}
