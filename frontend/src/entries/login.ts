import '../styles/base.css';
import { mount } from 'svelte';
import Login from '../pages/Login.svelte';

mount(Login, { target: document.getElementById('app')! });
