// The window's title: what the page is about, first.

import { useEffect } from "./vendor/htm-preact.js";

export function useTitle(text) {
  useEffect(() => {
    document.title = text ? `${text} · wanfarm` : "wanfarm";
  }, [text]);
}
