// @tus/server as an office that knows nothing of evidence: node tus_server.mjs FOLDER CHAIN KEY ROOTS PORT
import fs from 'node:fs'
import https from 'node:https'
import {FileStore} from '@tus/file-store'
import {Server} from '@tus/server'

const [directory, cert, key, ca, port] = process.argv.slice(2)
const tus = new Server({
  path: '/v1/uploads',
  datastore: new FileStore({directory}),
  namingFunction: (_, metadata) => Object.values(metadata).join('_'),
})
const read = (path) => fs.readFileSync(path)
const options = {cert: read(cert), key: read(key), ca: read(ca), requestCert: true, minVersion: 'TLSv1.3'}
https.createServer(options, tus.handle.bind(tus)).listen(Number(port), '127.0.0.1', () => console.log('ready'))
