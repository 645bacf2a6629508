/**
 * Ends quietly when nobody reads what is written any more, as in `millrace serve --help | head`: who left that pipe has
 * seen enough. Every other error of the stream is thrown, as it would be without a listener.
 */
export function endWhenReaderLeaves(
  output: Pick<NodeJS.EventEmitter, 'on'>,
  end: () => void = () => process.exit(),
): void {
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    end();
  });
}
