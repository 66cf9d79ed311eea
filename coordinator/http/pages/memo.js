// Components that are drawn again only when something they are given is another thing than before.

import { Component, h } from "./vendor/htm-preact.js";

export function memo(draw) {
  class Memo extends Component {
    shouldComponentUpdate(next) {
      for (const key in next) if (next[key] !== this.props[key]) return true;
      for (const key in this.props) if (!(key in next)) return true;
      return false;
    }

    render(props) {
      return h(draw, props);
    }
  }
  return Memo;
}
