// The client class of the protocol's first document, but for extending an event emitter and waiting for `open` before
// the first request.
const { EventEmitter } = require('node:events');

if (typeof globalThis.WebSocket === 'undefined') {
  globalThis.WebSocket = require('ws');
}

class RegistryClient extends EventEmitter {
  constructor(url) {
    super();
    this.ws = new WebSocket(url);
    this.pending = new Map();
    this.opened = new Promise((resolve) => { this.ws.onopen = resolve; });

    this.ws.onmessage = (e) => {
      const msg = JSON.parse(e.data);
      if (msg.type === 'response') {
        const handler = this.pending.get(msg.id);
        handler?.(msg);
      } else if (msg.type === 'event') {
        this.emit(msg.event, msg.data);
      }
    };
  }

  async request(action, params) {
    await this.opened;
    const id = crypto.randomUUID();
    const promise = new Promise(resolve => {
      this.pending.set(id, resolve);
    });

    this.ws.send(JSON.stringify({
      id, type: 'request', action, params
    }));

    return promise;
  }
}

globalThis.crypto ??= require('node:crypto').webcrypto;

async function main() {
  const client = new RegistryClient(process.argv[2]);
  const told = new Promise(resolve => client.once('service_state_changed', resolve));
  await client.request('subscribe', {});
  await client.request('register_service', { service: { name: 'from-js', version: '1.0.0' } });
  await client.request('set_service_state', { name: 'from-js', state: 'running' });
  const change = await told;
  const services = await client.request('list_services', {});
  const refused = await client.request('get_service', { name: 'nobody' });
  console.log(JSON.stringify({
    change: change.service + ' ' + change.from + ' ' + change.to,
    names: services.data.services.map(service => service.name),
    refused: refused.error.code,
  }));
  client.ws.close();
}

main();
