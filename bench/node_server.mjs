// The yardstick of the read rows: Node's own http server giving out prepared bytes.
//   node node_server.mjs BODY_FILE STREAM_FILE    prints its port
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';

const body = readFileSync(process.argv[2]);
const stream = readFileSync(process.argv[3]);

const server = createServer((request, response) => {
  if (request.url === '/stream') {
    // One write, and open until the client has what it wants, as an event stream is.
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
    response.write(stream);
    return;
  }
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length });
  response.end(body);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
