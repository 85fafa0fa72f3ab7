// What was asked and answered, as text that is the same for two runs of the same application.
//
// Left out is only what the application makes up or takes from the clock: ids (cuid) and tokens become numbers in the
// order of their first appearance, times of today become a word. All else is compared as it is.

const CUID = /\bc[a-z0-9]{24}\b/g
const TOKEN = /\b[0-9a-f]{16}\.[0-9a-f]{48}\b/g
const TIME = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g

export class Transcript {
  private readonly names = new Map<string, string>()
  private readonly today = Date.now() - 86_400_000

  add(text: string) {
    const plain = text
      .replace(TOKEN, (token) => this.name('token', token))
      .replace(CUID, (id) => this.name('id', id))
      .replace(TIME, (time) => (Date.parse(time) > this.today ? '<time>' : time))
    process.stdout.write(`${plain}\n`)
  }

  private name(kind: string, value: string): string {
    const known = this.names.get(value) ?? `<${kind} ${this.names.size + 1}>`
    this.names.set(value, known)
    return known
  }
}
