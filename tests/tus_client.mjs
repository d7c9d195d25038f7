// tus-js-client: node tus_client.mjs URL FILE METADATA CHAIN KEY ROOTS. Stops once in the middle, and goes on.
import fs from 'node:fs'
import https from 'node:https'
import {DefaultHttpStack, Upload} from 'tus-js-client'

const [endpoint, path, metadata, cert, key, ca] = process.argv.slice(2)
const read = (name) => fs.readFileSync(name)
const agent = new https.Agent({cert: read(cert), key: read(key), ca: read(ca), minVersion: 'TLSv1.3'})

const upload = (uploadUrl, stopAfter) =>
  new Promise((resolve, reject) => {
    let stopped = false
    const one = new Upload(read(path), {
      endpoint,
      uploadUrl,
      metadata: JSON.parse(metadata),
      chunkSize: 512 * 1024,
      retryDelays: null,
      httpStack: new DefaultHttpStack({agent}),
      onError: reject,
      onSuccess: () => resolve(one.url),
      onChunkComplete: (_, sent) => {
        if (sent >= stopAfter && !stopped) {
          stopped = true
          one.abort().then(() => resolve(one.url), reject)
        }
      },
    })
    one.start()
  })

const url = await upload(null, 1024 * 1024)
console.log(await upload(url, Infinity))
