// The files that were dropped, with those in dropped folders.

/** List the files of a drop. It must be called while the event is handled, as the browser forgets the drop then. */
export async function filesOf(transfer) {
  const entries = [...transfer.items].filter(({ kind }) => kind === "file").map((item) => item.webkitGetAsEntry?.());
  if (entries.every((entry) => !entry?.isDirectory)) return [...transfer.files];
  const files = [...transfer.files].filter((_, index) => !entries[index]?.isDirectory);
  for (const entry of entries) if (entry?.isDirectory) files.push(...await filesIn(entry));
  return files;
}

/** List the images in a folder and its subfolders, in the order of their names. */
async function filesIn(folder) {
  const reader = folder.createReader(), entries = [];
  for (let some; (some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))).length;) entries.push(...some);
  entries.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  const files = [];
  for (const entry of entries) {
    if (entry.name.startsWith(".")) continue;
    if (entry.isDirectory) files.push(...await filesIn(entry));
    else if (/\.(bmp|gif|jfif|jpe|jpe?g|png|tiff?|webp)$/i.test(entry.name)) files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
  }
  return files;
}
