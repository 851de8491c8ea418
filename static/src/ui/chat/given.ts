/** Dropped or pasted content. */
export interface Given {
  readonly files: readonly File[];
  /** Names of folders, which browsers deliver as unreadable files. */
  readonly folders: readonly string[];
}

/** Separates files from folders. Call it during the event: the data is gone afterwards. */
export function givenFiles({ items }: Pick<DataTransfer, 'items'>): Given {
  const files: File[] = [];
  const folders: string[] = [];
  for (const item of items) {
    if (item.kind !== 'file') continue;
    // `null` for an image from another program, which is not a file system entry.
    const entry = item.webkitGetAsEntry();
    const file = item.getAsFile();
    if (entry?.isDirectory) folders.push(entry.name);
    else if (file) files.push(file);
  }
  return { files, folders };
}
