/** How a document is read. Everything that is text as it stands is `text`: Markdown, JSON, CSV, sources. */
export type DocumentKind = 'text' | 'html' | 'pdf' | 'docx';

const KINDS: Readonly<Record<string, DocumentKind>> = {
  pdf: 'pdf',
  docx: 'docx',
  html: 'html',
  htm: 'html',
  xhtml: 'html',
};

/** What is known to be no text: told at once, and not after its bytes were looked at. */
const UNREADABLE = new Set(
  (
    'doc dot dotx docm rtf odt ods odp xls xlsx xlsm ppt pptx pages numbers key epub mobi ' +
    'png jpg jpeg gif webp bmp tif tiff ico heic mp3 mp4 m4a wav ogg flac avi mov mkv webm ' +
    'zip gz bz2 xz zst 7z rar tar jar war exe dll so dylib bin iso dmg class wasm pyc ' +
    'gguf onnx safetensors pt npy parquet sqlite db ttf otf woff woff2'
  ).split(' '),
);

/** By its name alone, which is what whoever uploaded it says that it is. Undefined: nothing here reads it. */
export function documentKindOf(filename: string): DocumentKind | undefined {
  const extension = extensionOf(filename);
  if (UNREADABLE.has(extension)) return undefined;
  return KINDS[extension] ?? 'text';
}

/** In lower case, without its dot; empty where there is none. */
export function extensionOf(filename: string): string {
  return /\.([^./\\]{1,20})$/.exec(filename)?.[1]?.toLowerCase() ?? '';
}
