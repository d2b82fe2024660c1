// Portkey listens on every interface of the machine and has no setting for it. Here it answers the benchmark alone.
const { Server } = require('node:net');

const listen = Server.prototype.listen;
Server.prototype.listen = function (port, host, ...rest) {
  return listen.call(this, port, host ?? '127.0.0.1', ...rest);
};
