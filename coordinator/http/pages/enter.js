// Shows what was refused, and enters by itself with a token that came behind the mark of the address.

const asked = new URLSearchParams(location.search);
document.getElementById('refused').hidden = !asked.has('refused');
document.getElementById('to').value = asked.get('to') ?? '/';

const token = location.hash.slice(1);
if (token) {
  // Neither the history nor a bookmark has it.
  history.replaceState(null, '', location.pathname + location.search);
  document.getElementById('token').value = token;
  document.getElementById('enter').submit();
}
